-- place: the step that finds whose changed subjects are

/*
 * The law of who is who.  A key joins all the subjects that it stands on, unless
 * two values of an exclusive type would meet in one scope: then it joins nothing.
 * Exclusive keys come first, then the others by rank, type, scope and value: by
 * what they are, so the outcome does not depend on when they came.
 */
CREATE FUNCTION settle._components(book regnamespace, members bigint[]) RETURNS TABLE (key_id bigint, subject_id bigint, component bigint, made boolean)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		WITH member AS (
			SELECT s.subject_id FROM %1$s.customer_subject AS s WHERE s.subject_id = ANY ($1) OR ($1 IS NULL AND s.customer IS NOT NULL)
		), joined AS (
			SELECT l.subject_id, l.key_id, t.exclusive,
				dense_rank() OVER (ORDER BY NOT t.exclusive, t.rank, k.key_type COLLATE "C", k.scope COLLATE "C", k.key_value COLLATE "C") AS join_no,
				dense_rank() OVER (ORDER BY k.key_type, k.scope) AS slot
			FROM member AS m
			JOIN %1$s.identity_link AS l ON l.subject_id = m.subject_id AND NOT l.cut
			JOIN %1$s.identity_key AS k ON k.key_id = l.key_id
			JOIN %1$s.key_type AS t ON t.key_type = k.key_type AND t.strength = 'strong'
		), everything AS (
			SELECT j.join_no, j.subject_id FROM joined AS j
			UNION ALL
			-- behind all keys, each on its own
			SELECT 9223372036854775807 - m.subject_id, m.subject_id FROM member AS m
		), held AS (
			SELECT j.subject_id, j.slot, j.key_id FROM joined AS j WHERE j.exclusive
		)
		SELECT n.key_id, u.node, u.component, u.made
		FROM settle._unite(
			ARRAY(SELECT e.join_no FROM everything AS e ORDER BY e.join_no, e.subject_id), ARRAY(SELECT e.subject_id FROM everything AS e ORDER BY e.join_no, e.subject_id),
			ARRAY(SELECT h.subject_id FROM held AS h ORDER BY h.subject_id, h.slot, h.key_id), ARRAY(SELECT h.slot FROM held AS h ORDER BY h.subject_id, h.slot, h.key_id),
			ARRAY(SELECT h.key_id FROM held AS h ORDER BY h.subject_id, h.slot, h.key_id)) AS u
		LEFT JOIN (SELECT DISTINCT j.join_no, j.key_id FROM joined AS j) AS n ON n.join_no = u.join_no
	$sql$, book) USING members;
END
$function$;
COMMENT ON FUNCTION settle._components(regnamespace, bigint[]) IS
	'what the strong keys of subjects, or of all, come to: component is the smallest subject of it; made is false for a key in conflict, null for a subject that contradicts itself; one further row a subject without a key';

/*
 * Where a change only adds, and nothing stands against it, customers are joined
 * as wholes: the work is that of what gets another number, and the smaller, older
 * number stays.  Anything else (a key gone or cut, a conflict that was or will
 * be) dissolves the customers concerned, with all that contested keys connect
 * them to, and finds their components afresh.
 */
CREATE FUNCTION settle._place_customers(book regnamespace, changed bigint[], shaken bigint[]) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	-- customers (positive) and subjects without one (negative), and the group that changed keys make of them
	nodes bigint[];
	groups bigint[];
	dissolved bigint[];
	-- the subjects of dissolved groups, their keys, and the components of both
	members bigint[] := '{}'::bigint[];
	parts bigint[] := '{}'::bigint[];
	contradicting bigint[] := '{}'::bigint[];
	keys bigint[] := '{}'::bigint[];
	key_parts bigint[] := '{}'::bigint[];
	key_contested boolean[] := '{}'::boolean[];
	-- the customers that all this comes to
	group_customers bigint[];
	member_customers bigint[];
	-- who has moved
	moved bigint[];
	moved_from bigint[];
	moved_to bigint[];
	-- the strong keys of a subject s, looked up and not joined, however many there are
	links text := format($sql$
		LATERAL (SELECT l.key_id, k.key_type, k.scope, k.customer, k.contested, t.exclusive
		FROM (SELECT l.key_id FROM %1$s.identity_link AS l WHERE l.subject_id = s.subject_id AND NOT l.cut OFFSET 0) AS l
		CROSS JOIN LATERAL (SELECT k.key_type, k.scope, k.customer, k.contested FROM %1$s.identity_key AS k WHERE k.key_id = l.key_id OFFSET 0) AS k
		JOIN %1$s.key_type AS t ON t.key_type = k.key_type AND t.strength = 'strong')
	$sql$, book);
BEGIN
	-- what the keys of changed subjects connect
	EXECUTE format($sql$
		WITH subject AS (
			SELECT s.subject_id, coalesce(s.customer, -s.subject_id) AS node
			FROM unnest($1) AS c (subject_id)
			JOIN %1$s.customer_subject AS s ON s.subject_id = c.subject_id
		), link AS (
			SELECT l.key_id, s.node, l.customer FROM subject AS s CROSS JOIN %2$s AS l
		), member (join_no, node) AS (
			SELECT l.key_id, l.node FROM link AS l
			UNION
			SELECT l.key_id, l.customer FROM link AS l WHERE l.customer IS NOT NULL
			UNION
			SELECT -s.subject_id, s.node FROM subject AS s
		), united AS (
			SELECT DISTINCT u.node, u.component
			FROM settle._unite(ARRAY(SELECT m.join_no FROM member AS m ORDER BY m.join_no), ARRAY(SELECT m.node FROM member AS m ORDER BY m.join_no), '{}', '{}', '{}') AS u
		)
		SELECT coalesce(array_agg(u.node), '{}'), coalesce(array_agg(u.component), '{}') FROM united AS u
	$sql$, book, links) INTO nodes, groups USING changed;

	-- where it is not as simple as that
	EXECUTE format($sql$
		WITH united AS (
			SELECT u.node, u.component FROM unnest($1, $2) AS u (node, component)
		), subject AS (
			SELECT s.subject_id, u.component
			FROM unnest($3) AS c (subject_id)
			JOIN %1$s.customer_subject AS s ON s.subject_id = c.subject_id
			JOIN united AS u ON u.node = coalesce(s.customer, -s.subject_id)
		), link AS (
			SELECT s.component, l.* FROM subject AS s CROSS JOIN %2$s AS l
		)
		SELECT ARRAY(
			SELECT s.component FROM subject AS s WHERE s.subject_id = ANY ($4)
			UNION
			SELECT u.component FROM united AS u JOIN %1$s.customer AS c ON c.customer = u.node AND c.contested
			UNION
			SELECT l.component FROM link AS l WHERE l.contested
			UNION
			SELECT h.component
			FROM (
				SELECT l.component, l.key_type, l.scope, l.key_id FROM link AS l WHERE l.exclusive
				UNION
				SELECT u.component, k.key_type, k.scope, k.key_id
				FROM united AS u
				CROSS JOIN LATERAL (SELECT k.key_id, k.key_type, k.scope FROM %1$s.identity_key AS k
					WHERE k.customer = u.node AND k.key_type = ANY (ARRAY(SELECT t.key_type FROM %1$s.key_type AS t WHERE t.exclusive)) OFFSET 0) AS k
				WHERE u.node > 0
			) AS h
			GROUP BY h.component, h.key_type, h.scope
			HAVING count(*) > 1)
	$sql$, book, links) INTO dissolved USING nodes, groups, changed, shaken;

	-- dissolve, and join again
	IF cardinality(dissolved) > 0 THEN
		EXECUTE format($sql$
			WITH RECURSIVE reached (customer) AS (
				SELECT u.node FROM unnest($1, $2) AS u (node, component) WHERE u.node > 0 AND u.component = ANY ($4)
				UNION
				SELECT o.customer
				FROM unnest($3) AS s (subject_id)
				CROSS JOIN %2$s AS l
				JOIN %1$s.identity_link AS m ON m.key_id = l.key_id AND NOT m.cut
				JOIN %1$s.customer_subject AS o ON o.subject_id = m.subject_id
				WHERE l.contested AND o.customer IS NOT NULL
				UNION
				SELECT o.customer
				FROM reached AS r
				JOIN %1$s.customer AS c ON c.customer = r.customer AND c.contested
				JOIN %1$s.customer_subject AS s ON s.customer = r.customer
				CROSS JOIN %2$s AS l
				JOIN %1$s.identity_link AS m ON m.key_id = l.key_id AND NOT m.cut
				JOIN %1$s.customer_subject AS o ON o.subject_id = m.subject_id
				WHERE l.contested AND o.customer IS NOT NULL
			)
			SELECT ARRAY(
				SELECT s.subject_id FROM reached AS r JOIN %1$s.customer_subject AS s ON s.customer = r.customer
				UNION
				SELECT -u.node FROM unnest($1, $2) AS u (node, component) WHERE u.node < 0 AND u.component = ANY ($4))
		$sql$, book, links) INTO members USING nodes, groups, changed, dissolved;
		WITH united AS MATERIALIZED (
			SELECT c.key_id, c.subject_id, c.component, c.made FROM settle._components(book, members) AS c
		), subject AS (
			SELECT u.subject_id, u.component, bool_or(u.made IS NULL) AS contradicts FROM united AS u GROUP BY u.subject_id, u.component
		), key AS (
			SELECT u.key_id, min(u.component) FILTER (WHERE u.made) AS component, coalesce(bool_or(NOT u.made), false) AS contested
			FROM united AS u
			WHERE u.key_id IS NOT NULL
			GROUP BY u.key_id
		)
		SELECT
			ARRAY(SELECT s.subject_id FROM subject AS s ORDER BY s.subject_id), ARRAY(SELECT s.component FROM subject AS s ORDER BY s.subject_id), ARRAY(SELECT s.subject_id FROM subject AS s WHERE s.contradicts),
			ARRAY(SELECT k.key_id FROM key AS k ORDER BY k.key_id), ARRAY(SELECT k.component FROM key AS k ORDER BY k.key_id), ARRAY(SELECT k.contested FROM key AS k ORDER BY k.key_id)
		INTO members, parts, contradicting, keys, key_parts, key_contested;
	END IF;

	-- numbers: the smallest that is founded in it, or a new one
	EXECUTE format($sql$
		INSERT INTO %1$s.customer (subject_id)
		SELECT f.founder
		FROM (
			SELECT min(-u.node) FILTER (WHERE u.node < 0) AS founder
			FROM unnest($1, $2) AS u (node, component)
			WHERE u.component <> ALL ($3)
			GROUP BY u.component
			HAVING max(u.node) < 0
			UNION ALL
			SELECT min(m.subject_id)
			FROM unnest($4, $5) AS m (subject_id, component)
			LEFT JOIN %1$s.customer AS c ON c.subject_id = m.subject_id
			GROUP BY m.component
			HAVING count(c.customer) = 0
		) AS f
		ORDER BY f.founder
	$sql$, book) USING nodes, groups, dissolved, members, parts;
	EXECUTE format($sql$
		SELECT ARRAY(
			SELECT CASE WHEN u.component <> ALL ($3) THEN min(CASE WHEN u.node > 0 THEN u.node ELSE c.customer END) OVER (PARTITION BY u.component) END
			FROM unnest($1, $2) WITH ORDINALITY AS u (node, component, n)
			LEFT JOIN %1$s.customer AS c ON c.subject_id = -u.node
			ORDER BY u.n
		), ARRAY(
			SELECT min(c.customer) OVER (PARTITION BY m.component)
			FROM unnest($4, $5) WITH ORDINALITY AS m (subject_id, component, n)
			LEFT JOIN %1$s.customer AS c ON c.subject_id = m.subject_id
			ORDER BY m.n
		)
	$sql$, book) INTO group_customers, member_customers USING nodes, groups, dissolved, members, parts;

	-- the subjects
	EXECUTE format($sql$
		WITH target AS (
			SELECT s.subject_id, s.customer AS before, u.customer AS after, false AS contradicts
			FROM unnest($1, $2) AS u (node, customer)
			JOIN %1$s.customer_subject AS s ON s.customer = u.node
			WHERE u.node > 0 AND u.node <> u.customer
			UNION ALL
			SELECT -u.node, NULL, u.customer, false FROM unnest($1, $2) AS u (node, customer) WHERE u.node < 0 AND u.customer IS NOT NULL
			UNION ALL
			SELECT m.subject_id, s.customer, m.customer, m.subject_id = ANY ($5)
			FROM unnest($3, $4) AS m (subject_id, customer)
			JOIN %1$s.customer_subject AS s ON s.subject_id = m.subject_id
			WHERE s.customer IS DISTINCT FROM m.customer OR s.contradicts <> (m.subject_id = ANY ($5))
		), moved AS (
			UPDATE %1$s.customer_subject AS s SET customer = t.after, contradicts = t.contradicts
			FROM target AS t
			WHERE s.subject_id = t.subject_id
			RETURNING s.subject_id, t.before, t.after
		)
		SELECT coalesce(array_agg(m.subject_id), '{}'), coalesce(array_agg(m.before), '{}'), coalesce(array_agg(m.after), '{}')
		FROM moved AS m
		WHERE m.before IS DISTINCT FROM m.after
	$sql$, book) INTO moved, moved_from, moved_to USING nodes, group_customers, members, member_customers, contradicting;

	-- whom the keys lead to
	EXECUTE format($sql$
		WITH target AS (
			SELECT k.key_id, u.customer, k.contested
			FROM unnest($1, $2) AS u (node, customer)
			JOIN %1$s.identity_key AS k ON k.customer = u.node
			WHERE u.node > 0 AND u.node <> u.customer
			UNION
			SELECT l.key_id, s.customer, l.contested
			FROM unnest($3) AS c (subject_id)
			JOIN %1$s.customer_subject AS s ON s.subject_id = c.subject_id
			CROSS JOIN %2$s AS l
			WHERE l.key_id <> ALL ($4)
			UNION
			-- one that only subjects have which contradict themselves is looked at again with the others that have it
			SELECT k.key_id, m.customer, k.contested
			FROM unnest($4, $5, $6) AS k (key_id, component, contested)
			LEFT JOIN unnest($7, $8) AS m (subject_id, customer) ON m.subject_id = k.component
			WHERE k.component IS NOT NULL OR k.contested OR NOT EXISTS (SELECT FROM %1$s.identity_link AS l JOIN %1$s.customer_subject AS s ON s.subject_id = l.subject_id
				WHERE l.key_id = k.key_id AND NOT l.cut AND s.customer IS NOT NULL AND NOT s.contradicts)
		)
		UPDATE %1$s.identity_key AS k SET customer = t.customer, contested = t.contested
		FROM target AS t
		WHERE k.key_id = t.key_id AND (k.customer IS DISTINCT FROM t.customer OR k.contested <> t.contested)
	$sql$, book, links) USING nodes, group_customers, changed, keys, key_parts, key_contested, members, member_customers;

	-- whoever depends on it
	EXECUTE format($sql$
		INSERT INTO %1$s.order_changed (platform, shop, order_no)
		SELECT s.platform, o.shop, o.order_no
		FROM unnest($1) AS m (subject_id)
		JOIN %1$s.customer_subject AS s ON s.subject_id = m.subject_id AND starts_with(s.subject, s.platform || ':order:')
		CROSS JOIN LATERAL (SELECT o.shop, o.order_no FROM %1$s.shop_order AS o WHERE o.order_no = substr(s.subject, length(s.platform) + 8) AND o.platform = s.platform OFFSET 0) AS o
		UNION
		-- who follows a contact follows whoever it belongs to
		SELECT s.platform, o.shop, o.order_no
		FROM unnest($1, $2, $3) AS m (subject_id, before, after)
		JOIN %1$s.customer_subject AS c ON c.subject_id = m.subject_id AND starts_with(c.subject, c.platform || ':contact:')
		JOIN %1$s.customer_subject AS s ON s.customer IN (m.before, m.after) AND starts_with(s.subject, s.platform || ':order:')
		CROSS JOIN LATERAL (SELECT o.shop, o.order_no FROM %1$s.shop_order AS o WHERE o.order_no = substr(s.subject, length(s.platform) + 8) AND o.platform = s.platform OFFSET 0) AS o
	$sql$, book) USING moved, moved_from, moved_to;
	IF cardinality(array_remove(moved_from, NULL)) > 0 THEN
		EXECUTE format($sql$
			WITH gone AS (
				-- a number goes where its founder goes
				SELECT m.before, m.after, array_agg(s.subject ORDER BY s.subject COLLATE "C") AS subjects, bool_or(m.subject_id = c.subject_id) AS merged
				FROM unnest($1, $2, $3) AS m (subject_id, before, after)
				JOIN %1$s.customer AS c ON c.customer = m.before
				JOIN %1$s.customer_subject AS s ON s.subject_id = m.subject_id
				GROUP BY m.before, m.after
			), evidence AS (
				SELECT s.customer, array_to_string((array_agg(DISTINCT l.key_type || ' on ' || s.subject))[1:5], ', ') AS evidence
				FROM unnest($4) AS c (subject_id)
				JOIN %1$s.customer_subject AS s ON s.subject_id = c.subject_id
				CROSS JOIN %2$s AS l
				WHERE s.customer IN (SELECT g.after FROM gone AS g) AND EXISTS (SELECT FROM %1$s.identity_link AS o WHERE o.key_id = l.key_id AND o.subject_id <> s.subject_id)
				GROUP BY s.customer
			)
			INSERT INTO %1$s.customer_event (kind, customer, other, subjects, evidence, actor, reason)
			SELECT CASE WHEN g.merged THEN 'merged' ELSE 'split' END, CASE WHEN g.merged THEN g.after ELSE g.before END, CASE WHEN g.merged THEN g.before ELSE g.after END,
				g.subjects, CASE WHEN g.merged THEN e.evidence END, settle.actor($5), settle.reason($5)
			FROM gone AS g
			LEFT JOIN evidence AS e ON e.customer = g.after
			ORDER BY g.before, g.after
		$sql$, book, links) USING moved, moved_from, moved_to, changed, book;
	END IF;
	IF cardinality(members) > 0 THEN
		PERFORM settle._note_conflicts(book, members, array_remove(moved_from, NULL));
	END IF;
	PERFORM settle._suggest_customers(book, ARRAY(SELECT unnest(changed) UNION SELECT unnest(members) UNION SELECT unnest(moved)), array_remove(moved_from, NULL));
	RETURN cardinality(moved)::bigint;
END
$function$;
COMMENT ON FUNCTION settle._place_customers(regnamespace, bigint[], bigint[]) IS
	'finds the customers of changed subjects, shaken those among them that may have lost keys, and tells whoever depends on it; returns how many subjects have another number';

CREATE FUNCTION settle._note_conflicts(book regnamespace, members bigint[], moved bigint[]) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	conflicts jsonb;
	raised text[];
BEGIN
	EXECUTE format($sql$
		UPDATE %1$s.customer AS c SET contested = n.contested
		FROM (
			SELECT s.customer, bool_or(k.key_id IS NOT NULL) AS contested
			FROM (
				SELECT m.customer, m.subject_id FROM %1$s.customer_subject AS m WHERE m.subject_id = ANY ($1)
				UNION ALL
				SELECT g.customer, NULL FROM unnest($2) AS g (customer)
			) AS s
			LEFT JOIN %1$s.identity_link AS l ON l.subject_id = s.subject_id AND NOT l.cut
			LEFT JOIN %1$s.identity_key AS k ON k.key_id = l.key_id AND k.contested AND k.key_type IN (SELECT t.key_type FROM %1$s.key_type AS t WHERE t.strength = 'strong')
			GROUP BY s.customer
		) AS n
		WHERE c.customer = n.customer AND c.contested <> n.contested
	$sql$, book) USING members, moved;
	EXECUTE format($sql$
		SELECT jsonb_agg(jsonb_build_object('kind', 'customer conflict', 'object', coalesce(f.key_type || ' ' || f.key_id, f.subjects[1]),
			'message', CASE f.what WHEN 'key' THEN format('%%s on %%s would join customers %%s, who must stay apart', f.key_type, array_to_string(f.subjects[1:5], ', '), array_to_string(f.customers, ', '))
				ELSE format('%%s has two values of a key of which nobody has two', f.subjects[1]) END,
			'customer', f.customers[1], 'other', f.customers[2], 'subjects', f.subjects))
		FROM %1$s.customer_conflict AS f
	$sql$, book) INTO conflicts;
	raised := (settle._keep_alerts(book, '{customer conflict}', conflicts, coalesce(settle.reason(book), 'is no conflict any more'))).raised;
	EXECUTE format($sql$
		INSERT INTO %1$s.customer_event (kind, customer, other, subjects, evidence, actor, reason)
		SELECT 'conflict', c.customer, c.other, c.subjects, c.message, settle.actor($1), settle.reason($1)
		FROM jsonb_to_recordset($2) AS c (object text, message text, customer bigint, other bigint, subjects text[])
		WHERE c.object = ANY ($3)
		ORDER BY c.object
	$sql$, book) USING book, conflicts, raised;
END
$function$;
COMMENT ON FUNCTION settle._note_conflicts(regnamespace, bigint[], bigint[]) IS 'marks the customers with a key in conflict, and brings alerts of conflicts up to date';

CREATE FUNCTION settle._suggest_customers(book regnamespace, touched bigint[], moved bigint[]) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF cardinality(moved) > 0 THEN
		EXECUTE format($sql$
			UPDATE %1$s.customer_suggestion AS g SET state = 'moot', decided_at = now()
			WHERE g.state = 'open' AND (g.customer = ANY ($1) OR g.other = ANY ($1))
		$sql$, book) USING moved;
	END IF;
	EXECUTE format($sql$
		WITH weak AS (
			SELECT DISTINCT l.key_id, k.key_type
			FROM unnest($1) AS s (subject_id)
			CROSS JOIN LATERAL (SELECT l.key_id FROM %1$s.identity_link AS l WHERE l.subject_id = s.subject_id AND NOT l.cut OFFSET 0) AS l
			CROSS JOIN LATERAL (SELECT k.key_type FROM %1$s.identity_key AS k WHERE k.key_id = l.key_id AND NOT k.contested OFFSET 0) AS k
			JOIN %1$s.key_type AS t ON t.key_type = k.key_type AND t.strength = 'weak'
		), shared AS (
			SELECT w.key_id, w.key_type, min(s.customer) AS customer, array_agg(DISTINCT s.customer) AS customers
			FROM weak AS w
			CROSS JOIN LATERAL (SELECT l.subject_id FROM %1$s.identity_link AS l WHERE l.key_id = w.key_id AND NOT l.cut OFFSET 0) AS l
			JOIN %1$s.customer_subject AS s ON s.subject_id = l.subject_id
			WHERE s.customer IS NOT NULL
			GROUP BY w.key_id, w.key_type
			HAVING count(DISTINCT s.customer) > 1
		), common AS (
			UPDATE %1$s.identity_key AS k SET contested = true
			FROM shared AS s
			WHERE k.key_id = s.key_id AND cardinality(s.customers) > (SELECT b.suggestion_limit FROM %1$s.book AS b)
		), suggested AS (
			INSERT INTO %1$s.customer_suggestion AS g (customer, other, key_id)
			SELECT DISTINCT ON (s.customer, o.customer) s.customer, o.customer, s.key_id
			FROM shared AS s
			CROSS JOIN LATERAL unnest(s.customers) AS o (customer)
			WHERE o.customer <> s.customer AND cardinality(s.customers) <= (SELECT b.suggestion_limit FROM %1$s.book AS b)
				AND NOT EXISTS (SELECT FROM %1$s.identity_key AS a JOIN %1$s.identity_key AS b ON b.key_type = 'apart' AND b.scope = a.scope AND b.customer = o.customer
					WHERE a.key_type = 'apart' AND a.customer = s.customer)
			ORDER BY s.customer, o.customer, s.key_id
			ON CONFLICT (customer, other) WHERE state = 'open' DO NOTHING
			RETURNING g.customer, g.other, g.key_id
		)
		INSERT INTO %1$s.customer_event (kind, customer, other, evidence, actor)
		SELECT 'suggested', g.customer, g.other, w.key_type, settle.actor($2)
		FROM suggested AS g
		JOIN weak AS w ON w.key_id = g.key_id
		ORDER BY g.customer, g.other
	$sql$, book) USING touched, book;
END
$function$;
COMMENT ON FUNCTION settle._suggest_customers(regnamespace, bigint[], bigint[]) IS 'suggests that customers who share a weak key are one; what was suggested of numbers that have moved is moot';

CREATE FUNCTION settle._tick_customers(book regnamespace) RETURNS jsonb
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	max_subjects CONSTANT bigint := 20000::bigint;
	due boolean;
	changed bigint[];
	shaken bigint[];
	entries bigint;
	placed bigint;
BEGIN
	EXECUTE format('SELECT EXISTS (SELECT FROM %s.subject_changed)', book) INTO due;
	IF NOT due THEN
		RETURN NULL;
	END IF;
	EXECUTE format('LOCK TABLE %s.customer IN SHARE ROW EXCLUSIVE MODE', book);
	EXECUTE format($sql$
		WITH taken AS (
			DELETE FROM %1$s.subject_changed AS q
			WHERE q.ctid = ANY (ARRAY(SELECT f.ctid FROM %1$s.subject_changed AS f LIMIT $1))
			RETURNING q.platform, q.subject, q.removed
		), named AS (
			SELECT t.platform, t.subject, bool_or(t.removed) AS removed, count(*) AS entries FROM taken AS t GROUP BY t.platform, t.subject
		), made AS (
			INSERT INTO %1$s.customer_subject (platform, subject)
			SELECT n.platform, n.subject FROM named AS n
			WHERE EXISTS (SELECT FROM %1$s.customer_identity AS i WHERE (i.platform, i.subject) = (n.platform, n.subject))
			ORDER BY n.platform COLLATE "C", n.subject COLLATE "C"
			ON CONFLICT DO NOTHING
			RETURNING subject_id
		), known AS (
			SELECT s.subject_id, n.removed FROM named AS n
			CROSS JOIN LATERAL (SELECT s.subject_id FROM %1$s.customer_subject AS s WHERE (s.platform, s.subject) = (n.platform, n.subject) OFFSET 0) AS s
		)
		-- of one that is new nothing can be gone
		SELECT ARRAY(SELECT k.subject_id FROM known AS k UNION ALL SELECT m.subject_id FROM made AS m), ARRAY(SELECT k.subject_id FROM known AS k WHERE k.removed), (SELECT sum(n.entries) FROM named AS n)
	$sql$, book) INTO changed, shaken, entries USING max_subjects;
	SELECT l.changed, l.shaken INTO changed, shaken FROM settle._link_keys(book, changed, shaken) AS l;
	placed := settle._place_customers(book, changed, shaken);
	RETURN jsonb_build_object('subjects', cardinality(changed), 'placed', placed, 'more', entries = max_subjects);
END
$function$;
COMMENT ON FUNCTION settle._tick_customers(regnamespace) IS 'step of settle.tick: finds whose the subjects are whose keys have changed';
