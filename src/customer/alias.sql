-- alias: whom of the staff and which store a reference of a platform means, and when

CREATE FUNCTION settle.note_alias_change() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format('INSERT INTO %1$I.alias_changed (kind, reference) SELECT DISTINCT %2$s FROM changed AS c',
		TG_TABLE_SCHEMA, CASE TG_TABLE_NAME WHEN 'store_alias' THEN '''store'', c.store_ref' ELSE 'c.kind, c.staff_ref' END);
	RETURN NULL;
END
$function$;
COMMENT ON FUNCTION settle.note_alias_change() IS 'statement trigger on the aliases of a book: notes which references mean something else now';

CREATE FUNCTION settle._vet_staff(staff text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF staff LIKE 'staff:%' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('staff "%s" is named with its kind', staff),
			HINT = format('Name it "%s": the party is "%s" then.', substr(staff, 7), staff);
	END IF;
	RETURN staff <> '';
END
$function$;
COMMENT ON FUNCTION settle._vet_staff(text) IS 'refuses who of the staff is named as a party is: lines would go to staff:staff:1001';

CREATE FUNCTION settle._create_alias_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	ops name := (SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'btree_gist');
	table_name text;
BEGIN
	-- one expression in the constraint: its index is for the constraint alone, those below are for looking up
	EXECUTE format($tables$
		CREATE TABLE %1$I.staff_alias (
			platform text NOT NULL,
			shop text NOT NULL DEFAULT '',
			staff_ref text NOT NULL CHECK (staff_ref <> ''),
			kind text NOT NULL DEFAULT 'person' CONSTRAINT kind_is_person_room_or_word CHECK (kind IN ('person', 'room', 'word')),
			valid tstzrange NOT NULL DEFAULT '(,)' CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
			staff text CHECK (settle._vet_staff(staff)),
			word text GENERATED ALWAYS AS (CASE WHEN kind = 'word' THEN settle.normalize_text(staff_ref) END) STORED,
			CONSTRAINT one_staff_at_a_time EXCLUDE USING gist (
				(quote_literal(platform) || quote_literal(shop) || kind || quote_literal(staff_ref)) %2$I.gist_text_ops WITH =, valid WITH &&)
		);
		CREATE INDEX staff_alias_ref ON %1$I.staff_alias (staff_ref, kind, platform, shop);
		CREATE INDEX staff_alias_word ON %1$I.staff_alias (platform, shop) WHERE kind = 'word';
		COMMENT ON TABLE %1$I.staff_alias IS 'who of the staff a reference of a platform means, from the start of valid to before its end; staff is the code of a party without its kind. An empty shop or platform stands for every one that has no row of its own';
		COMMENT ON COLUMN %1$I.staff_alias.kind IS 'person: an account of somebody, as platforms name guides, authors and members; room: a live room; word: a word in the memo of the seller';
		COMMENT ON COLUMN %1$I.staff_alias.staff IS 'null: nobody of the staff, and known to be';
		COMMENT ON COLUMN %1$I.staff_alias.word IS 'the word as it is looked for in memos';

		CREATE TABLE %1$I.store_alias (
			platform text NOT NULL,
			shop text NOT NULL DEFAULT '',
			store_ref text NOT NULL CHECK (store_ref <> ''),
			valid tstzrange NOT NULL DEFAULT '(,)' CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
			store text NOT NULL CHECK (store <> ''),
			region %3$I.ltree,
			CONSTRAINT one_store_at_a_time EXCLUDE USING gist (
				(quote_literal(platform) || quote_literal(shop) || quote_literal(store_ref)) %2$I.gist_text_ops WITH =, valid WITH &&)
		);
		CREATE INDEX store_alias_ref ON %1$I.store_alias (store_ref, platform, shop);
		COMMENT ON TABLE %1$I.store_alias IS 'which store, and in which region, a reference of a platform means, from the start of valid to before its end; an empty shop or platform as in staff_alias';

		CREATE TABLE %1$I.alias_changed (
			kind text NOT NULL,
			reference text NOT NULL
		);
		COMMENT ON TABLE %1$I.alias_changed IS 'references whose meaning has changed; the step staff of settle.tick looks for the orders that name them';

		CREATE VIEW %1$I.order_store AS
		SELECT o.platform, o.shop, o.order_no, o.store AS store_ref, a.store, a.region
		FROM (SELECT x.platform, x.shop, x.order_no, x.store, coalesce(x.created_at, x.paid_at, x.version) AS ordered_at FROM %1$I.shop_order AS x) AS o
		LEFT JOIN LATERAL (
			SELECT s.store, s.region
			FROM %1$I.store_alias AS s
			WHERE s.store_ref = o.store AND s.platform IN (o.platform, '') AND s.shop IN (o.shop, '') AND s.valid @> o.ordered_at
			ORDER BY s.platform DESC, s.shop DESC
			LIMIT 1
		) AS a ON true
		WHERE o.store IS NOT NULL;
		COMMENT ON VIEW %1$I.order_store IS 'the store of each order that names one, by the aliases in force when it was ordered; store is null where the reference has no alias';
	$tables$, book, ops, settle._ltree_schema());
	FOREACH table_name IN ARRAY '{staff_alias,store_alias}'::text[] LOOP
		EXECUTE format($triggers$
			CREATE TRIGGER alias_inserted AFTER INSERT ON %1$I.%2$I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_alias_change();
			CREATE TRIGGER alias_deleted AFTER DELETE ON %1$I.%2$I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_alias_change();
			CREATE TRIGGER alias_before AFTER UPDATE ON %1$I.%2$I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_alias_change();
			CREATE TRIGGER alias_after AFTER UPDATE ON %1$I.%2$I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION settle.note_alias_change();
		$triggers$, book, table_name);
	END LOOP;
	PERFORM settle._journal(book, 'staff_alias', '{platform,shop,kind,staff_ref,valid}');
	PERFORM settle._journal(book, 'store_alias', '{platform,shop,store_ref,valid}');
END
$function$;
COMMENT ON FUNCTION settle._create_alias_tables(name) IS 'makes the tables of what references to staff and stores mean';

/*
 * Both kinds of aliases are set and ended alike: who names a time cuts what is in
 * force then, and what he says holds until the next alias of the reference begins.
 */
CREATE FUNCTION settle._cut_alias(
	book regnamespace, table_name name, platform text, shop text, kind text, reference text, at timestamptz, OUT cut boolean, OUT until timestamptz
) RETURNS record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	ref text := CASE table_name WHEN 'staff_alias' THEN 'staff_ref' ELSE 'store_ref' END;
BEGIN
	IF num_nonnulls(platform, shop, reference, at) < 4 THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'an alias needs a platform, a shop, a reference and a time',
			HINT = 'An empty text as shop stands for all shops, -infinity for always.';
	END IF;
	EXECUTE format('LOCK TABLE %s.%I IN SHARE ROW EXCLUSIVE MODE', book, table_name);
	EXECUTE format($sql$
		SELECT count(*) FILTER (WHERE a.valid @> $5) > 0, coalesce(max(upper(a.valid)) FILTER (WHERE a.valid @> $5), min(lower(a.valid)) FILTER (WHERE lower(a.valid) > $5))
		FROM %1$s.%2$I AS a WHERE a.platform = $1 AND a.shop = $2 AND a.%3$I = $3 AND to_jsonb(a) ->> 'kind' IS NOT DISTINCT FROM $4
	$sql$, book, table_name, ref) INTO cut, until USING platform, shop, reference, kind, at;
	EXECUTE format('DELETE FROM %s.%I AS a WHERE a.platform = $1 AND a.shop = $2 AND a.%I = $3 AND to_jsonb(a) ->> ''kind'' IS NOT DISTINCT FROM $4 '
			'AND a.valid @> $5 AND coalesce(lower(a.valid), ''-infinity'') = $5', book, table_name, ref)
		USING platform, shop, reference, kind, at;
	EXECUTE format('UPDATE %s.%I AS a SET valid = tstzrange(lower(a.valid), $5) WHERE a.platform = $1 AND a.shop = $2 AND a.%I = $3 AND to_jsonb(a) ->> ''kind'' IS NOT DISTINCT FROM $4 '
			'AND a.valid @> $5', book, table_name, ref)
		USING platform, shop, reference, kind, at;
END
$function$;
COMMENT ON FUNCTION settle._cut_alias(regnamespace, name, text, text, text, text, timestamptz) IS
	'ends the alias of a reference that is in force at a time; tells whether there was one, and until when another may hold in its place';

CREATE FUNCTION settle._no_alias(platform text, shop text, reference text, at timestamptz) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('"%s" of shop "%s" at "%s" has no alias in force at %s', reference, shop, platform, at);
END
$function$;
COMMENT ON FUNCTION settle._no_alias(text, text, text, timestamptz) IS 'raises 42704';

CREATE FUNCTION settle.set_staff_alias(
	book regnamespace, platform text, shop text, staff_ref text, staff text, since timestamptz DEFAULT '-infinity', kind text DEFAULT 'person', reason text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.set_staff_alias(regnamespace, text, text, text, text, timestamptz, text, text) IS
	'says whom of the staff a reference of a platform means from a time on, until the next alias of it begins; a null staff: nobody of the staff';

CREATE FUNCTION settle._set_staff_alias(
	book regnamespace, platform text, shop text, staff_ref text, staff text, since timestamptz, kind text, reason text
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	cut record := settle._cut_alias(book, 'staff_alias', platform, shop, coalesce(kind, 'person'), staff_ref, since);
BEGIN
	EXECUTE format('INSERT INTO %s.staff_alias (platform, shop, staff_ref, kind, valid, staff) VALUES ($1, $2, $3, $4, tstzrange(nullif($5, ''-infinity''), $6), $7)', book)
		USING platform, shop, staff_ref, coalesce(kind, 'person'), since, cut.until, staff;
END
$function$;
COMMENT ON FUNCTION settle._set_staff_alias(regnamespace, text, text, text, text, timestamptz, text, text) IS 'body of settle.set_staff_alias';
REVOKE ALL ON FUNCTION settle._set_staff_alias(regnamespace, text, text, text, text, timestamptz, text, text) FROM PUBLIC;

CREATE FUNCTION settle.end_staff_alias(
	book regnamespace, platform text, shop text, staff_ref text, at timestamptz, kind text DEFAULT 'person', reason text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.end_staff_alias(regnamespace, text, text, text, timestamptz, text, text) IS
	'ends what a reference means at a time: who left keeps the orders from before it, and what names him after it is unknown';

CREATE FUNCTION settle._end_staff_alias(
	book regnamespace, platform text, shop text, staff_ref text, at timestamptz, kind text, reason text
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF NOT (settle._cut_alias(book, 'staff_alias', platform, shop, coalesce(kind, 'person'), staff_ref, at)).cut THEN
		PERFORM settle._no_alias(platform, shop, staff_ref, at);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._end_staff_alias(regnamespace, text, text, text, timestamptz, text, text) IS 'body of settle.end_staff_alias';
REVOKE ALL ON FUNCTION settle._end_staff_alias(regnamespace, text, text, text, timestamptz, text, text) FROM PUBLIC;

CREATE FUNCTION settle.set_store_alias(
	book regnamespace, platform text, shop text, store_ref text, store text, region text DEFAULT NULL, since timestamptz DEFAULT '-infinity', reason text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.set_store_alias(regnamespace, text, text, text, text, text, timestamptz, text) IS
	'says which store, in which region, a reference of a platform means from a time on, until the next alias of it begins';

CREATE FUNCTION settle._set_store_alias(
	book regnamespace, platform text, shop text, store_ref text, store text, region text, since timestamptz, reason text
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	cut record := settle._cut_alias(book, 'store_alias', platform, shop, NULL, store_ref, since);
BEGIN
	EXECUTE format('INSERT INTO %s.store_alias (platform, shop, store_ref, valid, store, region) VALUES ($1, $2, $3, tstzrange(nullif($4, ''-infinity''), $5), $6, $7::%I.ltree)', book, settle._ltree_schema())
		USING platform, shop, store_ref, since, cut.until, store, region;
END
$function$;
COMMENT ON FUNCTION settle._set_store_alias(regnamespace, text, text, text, text, text, timestamptz, text) IS 'body of settle.set_store_alias';
REVOKE ALL ON FUNCTION settle._set_store_alias(regnamespace, text, text, text, text, text, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION settle.end_store_alias(
	book regnamespace, platform text, shop text, store_ref text, at timestamptz, reason text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.end_store_alias(regnamespace, text, text, text, timestamptz, text) IS 'ends what a reference to a store means at a time';

CREATE FUNCTION settle._end_store_alias(
	book regnamespace, platform text, shop text, store_ref text, at timestamptz, reason text
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF NOT (settle._cut_alias(book, 'store_alias', platform, shop, NULL, store_ref, at)).cut THEN
		PERFORM settle._no_alias(platform, shop, store_ref, at);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._end_store_alias(regnamespace, text, text, text, timestamptz, text) IS 'body of settle.end_store_alias';
REVOKE ALL ON FUNCTION settle._end_store_alias(regnamespace, text, text, text, timestamptz, text) FROM PUBLIC;
