-- follow: which staff had which customer as a contact, and from when to when

/*
 * Events say when a following began or ended, and arrive in any order.  Periods
 * are nothing but what they come to, made anew for the customers concerned.
 */
CREATE FUNCTION settle._derive_follow(book regnamespace, platforms text[] DEFAULT NULL, customers text[] DEFAULT NULL)
	RETURNS TABLE (platform text, shop text, customer_no text, staff_ref text, valid tstzrange, how text, ended_by text)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	-- what names no corporation belongs to the one that other events of the customer name
	RETURN QUERY EXECUTE format($sql$
		WITH event AS (
			SELECT e.platform, e.customer_no, e.staff_ref, e.happened_at, e.what, e.add_way,
				coalesce(nullif(e.shop, ''), min(nullif(e.shop, '')) OVER (PARTITION BY e.platform, e.customer_no), '') AS shop
			FROM %1$s.follow_event AS e
			WHERE $1 IS NULL OR (e.platform, e.customer_no) IN (SELECT t.platform, t.customer_no FROM unnest($1, $2) AS t (platform, customer_no))
		), moment AS (
			SELECT e.platform, e.shop, e.customer_no, e.staff_ref, e.happened_at,
				bool_or(e.what IN ('followed', 'added')) AS begins,
				coalesce(bool_or(e.add_way = 202), false) AS inherited,
				min(e.what) FILTER (WHERE e.what LIKE 'removed_by_%%') AS removed,
				min(e.what) FILTER (WHERE e.what = 'transfer_failed') AS failed
			FROM event AS e
			GROUP BY e.platform, e.shop, e.customer_no, e.staff_ref, e.happened_at
		), since AS (
			SELECT m.*, max(m.happened_at) FILTER (WHERE m.begins) OVER w AS begun_at, max(m.happened_at) FILTER (WHERE m.begins AND m.inherited) OVER w AS inherited_at
			FROM moment AS m
			WINDOW w AS (PARTITION BY m.platform, m.shop, m.customer_no, m.staff_ref ORDER BY m.happened_at)
		), turn AS (
			-- a transfer that failed ends what was inherited, and nothing else
			SELECT s.*, lead(s.happened_at) OVER w AS ends_at,
				lead(CASE WHEN s.begins THEN 'followed_again' ELSE coalesce(s.removed, s.failed) END) OVER w AS ended_by
			FROM since AS s
			WHERE s.begins OR s.removed IS NOT NULL OR s.inherited_at = s.begun_at
			WINDOW w AS (PARTITION BY s.platform, s.shop, s.customer_no, s.staff_ref ORDER BY s.happened_at)
		)
		SELECT t.platform, t.shop, t.customer_no, t.staff_ref, tstzrange(t.happened_at, t.ends_at), CASE WHEN t.inherited THEN 'inherited' ELSE 'added' END, t.ended_by
		FROM turn AS t
		WHERE t.begins
	$sql$, book) USING platforms, customers;
END
$function$;
COMMENT ON FUNCTION settle._derive_follow(regnamespace, text[], text[]) IS 'the periods that the events of some customers come to, or those of all';

CREATE FUNCTION settle.note_following() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	platforms text[];
	customers text[];
BEGIN
	SELECT array_agg(c.platform), array_agg(c.customer_no) INTO platforms, customers FROM (SELECT DISTINCT x.platform, x.customer_no FROM changed AS x) AS c;
	IF platforms IS NULL THEN
		RETURN NULL;
	END IF;
	-- whoever has brought other events of the same customer commits first
	EXECUTE format('LOCK TABLE %I.follow_period IN SHARE ROW EXCLUSIVE MODE', TG_TABLE_SCHEMA);
	EXECUTE format('DELETE FROM %I.follow_period AS p USING unnest($1, $2) AS c (platform, customer_no) WHERE (p.platform, p.customer_no) = (c.platform, c.customer_no)', TG_TABLE_SCHEMA)
		USING platforms, customers;
	EXECUTE format('INSERT INTO %I.follow_period SELECT d.* FROM settle._derive_follow($1, $2, $3) AS d', TG_TABLE_SCHEMA)
		USING quote_ident(TG_TABLE_SCHEMA)::regnamespace, platforms, customers;
	EXECUTE format($sql$
		INSERT INTO %1$I.order_changed (platform, shop, order_no)
		SELECT DISTINCT o.platform, o.shop, o.order_no
		FROM unnest($1, $2) AS c (platform, customer_no)
		JOIN %1$I.subject_customer AS k ON k.subject = c.platform || ':contact:' || c.customer_no
		JOIN %1$I.subject_customer AS s ON s.customer = k.customer
		JOIN %1$I.shop_order AS o ON s.subject = o.platform || ':order:' || o.order_no AND o.order_no = substr(s.subject, length(s.platform) + 8)
	$sql$, TG_TABLE_SCHEMA) USING platforms, customers;
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION settle.note_following() IS 'statement trigger on the follow events of a book: makes the periods of their customers anew, and has their orders looked at';

CREATE FUNCTION settle._create_follow_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.follow_period (
			platform text NOT NULL,
			shop text NOT NULL,
			customer_no text NOT NULL,
			staff_ref text NOT NULL,
			valid tstzrange NOT NULL CHECK (NOT isempty(valid)),
			how text NOT NULL CHECK (how IN ('added', 'inherited')),
			ended_by text
		);
		CREATE UNIQUE INDEX follow_period_once ON %1$I.follow_period (customer_no, platform, shop, staff_ref, lower(valid));
		COMMENT ON TABLE %1$I.follow_period IS 'who of the staff had which customer as a contact, and when: what follow_event comes to';
		COMMENT ON COLUMN %1$I.follow_period.how IS 'inherited: the customer was assigned to the staff by others (add_way 202)';
		COMMENT ON COLUMN %1$I.follow_period.ended_by IS 'removed_by_customer, removed_by_staff, transfer_failed, or followed_again, where a later beginning shows that this one had ended; null while it lasts';
		CREATE TRIGGER following_inserted AFTER INSERT ON %1$I.follow_event REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_following();
		CREATE TRIGGER following_before AFTER UPDATE ON %1$I.follow_event REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_following();
		CREATE TRIGGER following_updated AFTER UPDATE ON %1$I.follow_event REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_following();
		CREATE TRIGGER following_deleted AFTER DELETE ON %1$I.follow_event REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_following();
	$tables$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_follow_tables(name) IS 'makes the table of who followed which customer when';
