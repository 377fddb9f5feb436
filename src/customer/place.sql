-- place: the step that finds whose changed subjects are

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
	-- of customers (positive) and subjects without one (negative): the group that changed keys make of them
	nodes bigint[];
	groups bigint[];
	dissolved bigint[];
	-- subjects without a customer, and those of dissolved groups: where they belong to
	members bigint[] := '{}'::bigint[];
	parts bigint[] := '{}'::bigint[];
	contradicting bigint[] := '{}'::bigint[];
	keys bigint[] := '{}'::bigint[];
	key_parts bigint[] := '{}'::bigint[];
	key_contested boolean[] := '{}'::boolean[];
	placed bigint[];
	moved bigint[];
	touched bigint[];
	strong_links text := format($sql$
		(SELECT l.subject_id, k.key_id, k.key_type, k.scope, k.key_value, k.customer, k.contested, t.exclusive, t.rank
		FROM %1$s.identity_link AS l
		JOIN %1$s.identity_key AS k ON k.key_id = l.key_id
		JOIN %1$s.key_type AS t ON t.key_type = k.key_type
		WHERE t.strength = 'strong' AND NOT l.cut)
	$sql$, book);
BEGIN
	-- what the keys of changed subjects connect
	EXECUTE format($sql$
		WITH link AS (
			SELECT l.key_id, coalesce(s.customer, -l.subject_id) AS node, l.customer
			FROM %2$s AS l
			JOIN %1$s.customer_subject AS s ON s.subject_id = l.subject_id
			WHERE l.subject_id = ANY ($1)
		), member (join_no, node) AS (
			SELECT l.key_id, l.node FROM link AS l
			UNION
			SELECT l.key_id, l.customer FROM link AS l WHERE l.customer IS NOT NULL
			UNION
			SELECT -s.subject_id, coalesce(s.customer, -s.subject_id) FROM %1$s.customer_subject AS s WHERE s.subject_id = ANY ($1)
		), united AS (
			SELECT DISTINCT u.node, u.component
			FROM settle._unite(ARRAY(SELECT m.join_no FROM member AS m ORDER BY m.join_no), ARRAY(SELECT m.node FROM member AS m ORDER BY m.join_no), '{}', '{}', '{}') AS u
		)
		SELECT coalesce(array_agg(u.node), '{}'), coalesce(array_agg(u.component), '{}') FROM united AS u
	$sql$, book, strong_links) INTO nodes, groups USING changed;

	-- where it is not as simple as that
	EXECUTE format($sql$
		WITH united AS (
			SELECT u.node, u.component FROM unnest($1, $2) AS u (node, component)
		), changed_node AS (
			SELECT s.subject_id, u.component
			FROM %1$s.customer_subject AS s
			JOIN united AS u ON u.node = coalesce(s.customer, -s.subject_id)
			WHERE s.subject_id = ANY ($3)
		), link AS (
			SELECT l.*, c.component FROM %2$s AS l JOIN changed_node AS c ON c.subject_id = l.subject_id WHERE l.subject_id = ANY ($3)
		)
		SELECT ARRAY(
			SELECT c.component FROM changed_node AS c WHERE c.subject_id = ANY ($4)
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
				JOIN %1$s.identity_key AS k ON k.customer = u.node AND k.key_type = ANY (ARRAY(SELECT t.key_type FROM %1$s.key_type AS t WHERE t.exclusive))
			) AS h
			GROUP BY h.component, h.key_type, h.scope
			HAVING count(*) > 1)
	$sql$, book, strong_links) INTO dissolved USING nodes, groups, changed, shaken;

	-- dissolve, and join again in an order that is the same whenever it is done
	IF cardinality(dissolved) > 0 THEN
		EXECUTE format($sql$
			WITH RECURSIVE link AS (
				SELECT l.* FROM %2$s AS l WHERE l.subject_id = ANY ($3)
			), reached (customer) AS (
				SELECT u.node FROM unnest($1, $2) AS u (node, component) WHERE u.node > 0 AND u.component = ANY ($4)
				UNION
				SELECT s.customer
				FROM link AS l
				JOIN %1$s.identity_link AS m ON m.key_id = l.key_id AND NOT m.cut
				JOIN %1$s.customer_subject AS s ON s.subject_id = m.subject_id
				WHERE l.contested AND s.customer IS NOT NULL
				UNION
				SELECT o.customer
				FROM reached AS r
				JOIN %1$s.customer AS c ON c.customer = r.customer AND c.contested
				JOIN %1$s.customer_subject AS s ON s.customer = r.customer
				JOIN %2$s AS l ON l.subject_id = s.subject_id AND l.contested
				JOIN %1$s.identity_link AS m ON m.key_id = l.key_id AND NOT m.cut
				JOIN %1$s.customer_subject AS o ON o.subject_id = m.subject_id
				WHERE o.customer IS NOT NULL
			), member AS (
				SELECT s.subject_id FROM reached AS r JOIN %1$s.customer_subject AS s ON s.customer = r.customer
				UNION
				SELECT -u.node FROM unnest($1, $2) AS u (node, component) WHERE u.node < 0 AND u.component = ANY ($4)
			), joined AS (
				SELECT l.*, dense_rank() OVER (ORDER BY NOT l.exclusive, l.rank, l.key_type COLLATE "C", l.scope COLLATE "C", l.key_value COLLATE "C") AS join_no,
					dense_rank() OVER (ORDER BY l.key_type, l.scope) AS slot
				FROM member AS m
				JOIN %2$s AS l ON l.subject_id = m.subject_id
			), everything AS (
				SELECT j.join_no, j.subject_id FROM joined AS j
				UNION ALL
				SELECT 9223372036854775807 - m.subject_id, m.subject_id FROM member AS m
			), held AS (
				SELECT j.subject_id, j.slot, j.key_id FROM joined AS j WHERE j.exclusive
			), united AS (
				SELECT u.*
				FROM settle._unite(ARRAY(SELECT e.join_no FROM everything AS e ORDER BY e.join_no, e.subject_id), ARRAY(SELECT e.subject_id FROM everything AS e ORDER BY e.join_no, e.subject_id),
					ARRAY(SELECT h.subject_id FROM held AS h ORDER BY h.subject_id, h.slot, h.key_id), ARRAY(SELECT h.slot FROM held AS h ORDER BY h.subject_id, h.slot, h.key_id),
					ARRAY(SELECT h.key_id FROM held AS h ORDER BY h.subject_id, h.slot, h.key_id)) AS u
			), subject AS (
				SELECT u.node, u.component, bool_or(u.made IS NULL) AS contradicts FROM united AS u GROUP BY u.node, u.component
			), key AS (
				SELECT j.key_id, min(u.component) FILTER (WHERE u.made) AS component, coalesce(bool_or(NOT u.made), false) AS contested
				FROM united AS u
				JOIN (SELECT DISTINCT j.join_no, j.key_id FROM joined AS j) AS j ON j.join_no = u.join_no
				GROUP BY j.key_id
			)
			SELECT
				ARRAY(SELECT s.node FROM subject AS s ORDER BY s.node), ARRAY(SELECT s.component FROM subject AS s ORDER BY s.node), ARRAY(SELECT s.node FROM subject AS s WHERE s.contradicts),
				ARRAY(SELECT k.key_id FROM key AS k ORDER BY k.key_id), ARRAY(SELECT k.component FROM key AS k ORDER BY k.key_id), ARRAY(SELECT k.contested FROM key AS k ORDER BY k.key_id)
		$sql$, book, strong_links) INTO members, parts, contradicting, keys, key_parts, key_contested USING nodes, groups, changed, dissolved;
	END IF;

	-- numbers: the smallest that is founded in it, or a new one
	EXECUTE format($sql$
		WITH part AS (
			SELECT 'dissolved' AS way, m.component, m.subject_id, c.customer
			FROM unnest($3, $4) AS m (subject_id, component)
			LEFT JOIN %1$s.customer AS c ON c.subject_id = m.subject_id
			UNION ALL
			SELECT 'simple', u.component, CASE WHEN u.node < 0 THEN -u.node END, CASE WHEN u.node > 0 THEN u.node END
			FROM unnest($1, $2) AS u (node, component)
			WHERE u.component <> ALL ($5)
		), numbered AS (
			SELECT p.way, p.component, min(p.customer) AS customer, min(p.subject_id) AS founder FROM part AS p GROUP BY p.way, p.component
		), founded AS (
			INSERT INTO %1$s.customer (subject_id)
			SELECT n.founder FROM numbered AS n WHERE n.customer IS NULL ORDER BY n.founder
			RETURNING customer, subject_id
		), final AS (
			SELECT n.way, n.component, coalesce(n.customer, f.customer) AS customer
			FROM numbered AS n
			LEFT JOIN founded AS f ON f.subject_id = n.founder AND n.customer IS NULL
		)
		SELECT
			ARRAY(SELECT f.customer FROM unnest($2) WITH ORDINALITY AS u (component, n) LEFT JOIN final AS f ON f.way = 'simple' AND f.component = u.component ORDER BY u.n),
			ARRAY(SELECT f.customer FROM unnest($4) WITH ORDINALITY AS m (component, n) JOIN final AS f ON f.way = 'dissolved' AND f.component = m.component ORDER BY m.n),
			ARRAY(SELECT f.customer FROM unnest($6) WITH ORDINALITY AS k (component, n) LEFT JOIN final AS f ON f.way = 'dissolved' AND f.component = k.component ORDER BY k.n)
	$sql$, book) INTO groups, placed, key_parts USING nodes, groups, members, parts, dissolved, key_parts;

	-- the subjects, what happened to them, and the orders that have another customer now
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
			RETURNING s.subject_id, s.platform, s.subject, t.before, t.after
		), evidence AS (
			SELECT e.customer, array_to_string((array_agg(DISTINCT e.key_type || ' on ' || e.subject))[1:5], ', ') AS evidence
			FROM (
				SELECT coalesce(t.after, s.customer) AS customer, l.key_type, s.subject
				FROM %1$s.customer_subject AS s
				JOIN %2$s AS l ON l.subject_id = s.subject_id
				LEFT JOIN target AS t ON t.subject_id = s.subject_id
				WHERE s.subject_id = ANY ($6) AND EXISTS (SELECT FROM %1$s.identity_link AS o WHERE o.key_id = l.key_id AND o.subject_id <> l.subject_id)
			) AS e
			WHERE e.customer IN (SELECT m.after FROM moved AS m WHERE m.before <> m.after)
			GROUP BY e.customer
		), noted AS (
			INSERT INTO %1$s.customer_event (kind, customer, other, subjects, evidence, actor, reason)
			SELECT CASE WHEN g.merged THEN 'merged' ELSE 'split' END, CASE WHEN g.merged THEN g.after ELSE g.before END, CASE WHEN g.merged THEN g.before ELSE g.after END,
				g.subjects, CASE WHEN g.merged THEN e.evidence END, settle.actor($7), settle.reason($7)
			FROM (
				-- a number goes where its founder goes
				SELECT m.before, m.after, array_agg(m.subject ORDER BY m.subject COLLATE "C") AS subjects, bool_or(m.subject_id = c.subject_id) AS merged
				FROM moved AS m
				JOIN %1$s.customer AS c ON c.customer = m.before
				WHERE m.before <> m.after
				GROUP BY m.before, m.after
			) AS g
			LEFT JOIN evidence AS e ON e.customer = g.after
			ORDER BY g.before, g.after
		), told AS (
			INSERT INTO %1$s.order_changed (platform, shop, order_no)
			SELECT o.platform, o.shop, o.order_no
			FROM moved AS m
			JOIN %1$s.shop_order AS o ON o.order_no = substr(m.subject, length(m.platform) + 8) AND o.platform = m.platform
			WHERE starts_with(m.subject, m.platform || ':order:') AND m.before IS DISTINCT FROM m.after
			UNION
			-- who follows a contact follows whoever it belongs to
			SELECT o.platform, o.shop, o.order_no
			FROM moved AS m
			JOIN %1$s.customer_subject AS s ON s.customer IN (m.before, m.after) AND starts_with(s.subject, s.platform || ':order:')
			JOIN %1$s.shop_order AS o ON o.order_no = substr(s.subject, length(s.platform) + 8) AND o.platform = s.platform
			WHERE starts_with(m.subject, m.platform || ':contact:') AND m.before IS DISTINCT FROM m.after
		)
		SELECT ARRAY(SELECT m.before FROM moved AS m WHERE m.before <> m.after), ARRAY(SELECT m.subject_id FROM moved AS m)
	$sql$, book, strong_links) INTO moved, touched USING nodes, groups, members, placed, contradicting, changed, book;

	-- whom the keys lead to
	EXECUTE format($sql$
		WITH target AS (
			SELECT k.key_id, u.customer, k.contested
			FROM unnest($1, $2) AS u (node, customer)
			JOIN %1$s.identity_key AS k ON k.customer = u.node
			WHERE u.node > 0 AND u.node <> u.customer
			UNION
			SELECT l.key_id, s.customer, l.contested
			FROM %2$s AS l
			JOIN %1$s.customer_subject AS s ON s.subject_id = l.subject_id
			WHERE l.subject_id = ANY ($3) AND l.key_id <> ALL ($4)
			UNION
			SELECT k.key_id, k.customer, k.contested FROM unnest($4, $5, $6) AS k (key_id, customer, contested)
		)
		UPDATE %1$s.identity_key AS k SET customer = t.customer, contested = t.contested
		FROM target AS t
		WHERE k.key_id = t.key_id AND (k.customer IS DISTINCT FROM t.customer OR k.contested <> t.contested)
	$sql$, book, strong_links) USING nodes, groups, changed, keys, key_parts, key_contested;
	IF cardinality(members) > 0 THEN
		PERFORM settle._note_conflicts(book, members, moved);
	END IF;
	PERFORM settle._suggest_customers(book, ARRAY(SELECT unnest(changed) UNION SELECT unnest(members) UNION SELECT unnest(touched)), moved);
	RETURN cardinality(touched)::bigint;
END
$function$;
COMMENT ON FUNCTION settle._place_customers(regnamespace, bigint[], bigint[]) IS
	'finds the customers of changed subjects, shaken those among them that may have lost keys, and tells whoever depends on it; returns how many subjects have another number';

CREATE FUNCTION settle._note_conflicts(book regnamespace, members bigint[], moved bigint[]) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
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
		WITH conflict AS (
			SELECT coalesce(f.key_type || ' ' || f.key_id, f.subjects[1]) AS object,
				CASE f.what WHEN 'key' THEN format('%%s on %%s would join customers %%s, who must stay apart', f.key_type, array_to_string(f.subjects[1:5], ', '), array_to_string(f.customers, ', '))
					ELSE format('%%s has two values of a key of which nobody has two', f.subjects[1]) END AS message,
				f.customers[1] AS customer, f.customers[2] AS other, f.subjects
			FROM %1$s.customer_conflict AS f
		), raised AS (
			INSERT INTO %1$s.alert (kind, object, message)
			SELECT 'customer conflict', c.object, c.message FROM conflict AS c
			ON CONFLICT (kind, object) WHERE settled_at IS NULL DO NOTHING
			RETURNING object
		), settled AS (
			UPDATE %1$s.alert AS a SET settled_at = now(), settled_by = settle.actor($1), reason = coalesce(settle.reason($1), 'is no conflict any more')
			WHERE a.kind = 'customer conflict' AND a.settled_at IS NULL AND NOT EXISTS (SELECT FROM conflict AS c WHERE c.object = a.object)
		)
		INSERT INTO %1$s.customer_event (kind, customer, other, subjects, evidence, actor, reason)
		SELECT 'conflict', c.customer, c.other, c.subjects, c.message, settle.actor($1), settle.reason($1)
		FROM conflict AS c
		WHERE c.object IN (SELECT r.object FROM raised AS r)
		ORDER BY c.object
	$sql$, book) USING book;
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
			SELECT DISTINCT k.key_id, k.key_type
			FROM %1$s.identity_link AS l
			JOIN %1$s.identity_key AS k ON k.key_id = l.key_id AND NOT k.contested
			JOIN %1$s.key_type AS t ON t.key_type = k.key_type AND t.strength = 'weak'
			WHERE l.subject_id = ANY ($1) AND NOT l.cut
		), shared AS (
			SELECT w.key_id, w.key_type, min(s.customer) AS customer, array_agg(DISTINCT s.customer) AS customers
			FROM weak AS w
			JOIN %1$s.identity_link AS l ON l.key_id = w.key_id AND NOT l.cut
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
	EXECUTE format('SELECT EXISTS (SELECT FROM %s.customer_queue)', book) INTO due;
	IF NOT due THEN
		RETURN NULL;
	END IF;
	EXECUTE format('LOCK TABLE %s.customer IN SHARE ROW EXCLUSIVE MODE', book);
	EXECUTE format($sql$
		WITH taken AS (
			DELETE FROM %1$s.customer_queue AS q
			WHERE q.ctid = ANY (ARRAY(SELECT f.ctid FROM %1$s.customer_queue AS f LIMIT $1))
			RETURNING q.platform, q.subject, q.removed
		), named AS (
			SELECT t.platform, t.subject, bool_or(t.removed) AS removed, count(*) AS entries FROM taken AS t GROUP BY t.platform, t.subject
		), made AS (
			INSERT INTO %1$s.customer_subject (platform, subject)
			SELECT n.platform, n.subject FROM named AS n
			WHERE EXISTS (SELECT FROM %1$s.customer_identity AS i WHERE (i.platform, i.subject) = (n.platform, n.subject))
			ORDER BY n.platform COLLATE "C", n.subject COLLATE "C"
			ON CONFLICT DO NOTHING
			RETURNING subject_id, platform, subject
		), known AS (
			SELECT m.subject_id, m.platform, m.subject FROM made AS m
			UNION ALL
			SELECT s.subject_id, s.platform, s.subject FROM named AS n JOIN %1$s.customer_subject AS s ON (s.platform, s.subject) = (n.platform, n.subject)
		)
		SELECT coalesce(array_agg(k.subject_id), '{}'), coalesce(array_agg(k.subject_id) FILTER (WHERE n.removed), '{}'), (SELECT sum(x.entries) FROM named AS x)
		FROM named AS n
		JOIN known AS k ON (k.platform, k.subject) = (n.platform, n.subject)
	$sql$, book) INTO changed, shaken, entries USING max_subjects;
	SELECT l.changed, l.shaken INTO changed, shaken FROM settle._link_keys(book, changed, shaken) AS l;
	placed := settle._place_customers(book, changed, shaken);
	RETURN jsonb_build_object('subjects', cardinality(changed), 'placed', placed, 'more', entries = max_subjects);
END
$function$;
COMMENT ON FUNCTION settle._tick_customers(regnamespace) IS 'step of settle.tick: finds whose the subjects are whose keys have changed';
