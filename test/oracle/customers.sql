-- Who is who, said a second time in plain SQL: a label a subject, and one key
-- after the other gives its subjects the smallest of their labels, unless two
-- values of an exclusive type would meet.  Reads the identities of a book and
-- what people have said in it; knows nothing of what it was derived to.
CREATE SCHEMA oracle;

-- links: identities that count, under the scope that they have in the end
CREATE FUNCTION oracle.link(book name) RETURNS TABLE (subject text, key_type text, scope text, key_value text)
	LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($sql$
		WITH known AS (
			SELECT i.key_type, i.key_value, min(i.scope) FILTER (WHERE i.scope <> '') AS scope, count(DISTINCT i.scope) FILTER (WHERE i.scope <> '') AS scopes
			FROM %1$I.customer_identity AS i GROUP BY i.key_type, i.key_value
		), link AS (
			SELECT DISTINCT i.subject, i.key_type, CASE WHEN i.scope = '' AND k.scopes = 1 THEN k.scope ELSE i.scope END AS scope, i.key_value
			FROM %1$I.customer_identity AS i JOIN known AS k USING (key_type, key_value)
		), said AS (
			SELECT s.subject, k.key_type, k.scope, k.key_value, l.cut
			FROM %1$I.identity_link AS l JOIN %1$I.identity_key AS k USING (key_id) JOIN %1$I.customer_subject AS s USING (subject_id)
		)
		SELECT l.* FROM link AS l WHERE NOT EXISTS (SELECT FROM said AS s WHERE s.cut AND (s.subject, s.key_type, s.scope, s.key_value) = (l.subject, l.key_type, l.scope, l.key_value))
		UNION ALL
		SELECT s.subject, s.key_type, s.scope, s.key_value FROM said AS s WHERE s.key_type IN ('same', 'apart') AND NOT s.cut
	$sql$, book);
END
$$;

-- the customers, each as the sorted list of his subjects
CREATE FUNCTION oracle.customers(book name) RETURNS text[]
	LANGUAGE plpgsql AS $$
DECLARE
	key record;
	labels text[];
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS oracle_link (subject text, key_type text, scope text, key_value text, exclusive boolean, rank integer);
	CREATE TEMP TABLE IF NOT EXISTS oracle_label (subject text, label text);
	TRUNCATE oracle_link, oracle_label;
	EXECUTE format('INSERT INTO oracle_link SELECT l.*, t.exclusive, t.rank FROM oracle.link(%1$L) AS l JOIN %1$I.key_type AS t USING (key_type) WHERE t.strength = ''strong'' AND (t.pattern IS NULL OR l.key_value ~ t.pattern)', book);
	EXECUTE format('INSERT INTO oracle_label SELECT s, s FROM (SELECT DISTINCT i.subject FROM %1$I.customer_identity AS i UNION SELECT c.subject FROM %1$I.customer_subject AS c WHERE c.customer IS NOT NULL) AS x (s)', book);
	-- who has two values of an exclusive type is left alone
	DELETE FROM oracle_link WHERE subject IN (SELECT l.subject FROM oracle_link AS l WHERE l.exclusive GROUP BY l.subject, l.key_type, l.scope HAVING count(DISTINCT l.key_value) > 1);
	FOR key IN
		SELECT l.key_type, l.scope, l.key_value FROM oracle_link AS l GROUP BY l.key_type, l.scope, l.key_value, l.exclusive, l.rank
		ORDER BY NOT l.exclusive, l.rank, l.key_type COLLATE "C", l.scope COLLATE "C", l.key_value COLLATE "C"
	LOOP
		labels := ARRAY(SELECT DISTINCT b.label FROM oracle_link AS l JOIN oracle_label AS b USING (subject) WHERE (l.key_type, l.scope, l.key_value) = (key.key_type, key.scope, key.key_value));
		IF NOT EXISTS (SELECT FROM oracle_label AS b JOIN oracle_link AS l USING (subject) WHERE b.label = ANY (labels) AND l.exclusive GROUP BY l.key_type, l.scope HAVING count(DISTINCT l.key_value) > 1) THEN
			UPDATE oracle_label SET label = (SELECT min(x) FROM unnest(labels) AS x) WHERE label = ANY (labels);
		END IF;
	END LOOP;
	RETURN ARRAY(SELECT string_agg(b.subject, ' ' ORDER BY b.subject COLLATE "C") FROM oracle_label AS b GROUP BY b.label ORDER BY 1);
END
$$;
