
-- facts: named values that come from other relations, and rates between currencies

CREATE FUNCTION settle.vet_fact() RETURNS trigger AS 'MODULE_PATHNAME', 'settle_vet_fact' LANGUAGE C;
COMMENT ON FUNCTION settle.vet_fact() IS 'row trigger on the facts of a book: refuses expressions that their relation cannot answer and notes the type of the value';

CREATE FUNCTION settle._create_fact_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.fact (
			fact name PRIMARY KEY CHECK (fact <> '' AND position('/' IN fact) = 0),
			relation regclass NOT NULL,
			key text NOT NULL,
			valid text,
			value text,
			lookup text,
			source name REFERENCES %1$I.source (source),
			type text NOT NULL
		);
		COMMENT ON TABLE %1$I.fact IS 'named values that come from other relations, f.<fact> in expressions: key, valid and value are SQL expressions over the row of the relation, lookup is one over the ticket; type is filled in';
		CREATE TRIGGER vet_fact BEFORE INSERT OR UPDATE ON %1$I.fact FOR EACH ROW EXECUTE FUNCTION settle.vet_fact();
		CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$I.fact FOR EACH STATEMENT EXECUTE FUNCTION settle.note_rule_change();
		ALTER TABLE %1$I.fact ENABLE ALWAYS TRIGGER rules_changed;

		CREATE TABLE %1$I.rate (
			from_unit text NOT NULL CHECK (from_unit ~ '^[A-Z][A-Z0-9_]*$'),
			to_unit text NOT NULL CHECK (to_unit ~ '^[A-Z][A-Z0-9_]*$' AND to_unit <> from_unit),
			valid tstzrange NOT NULL CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
			rate numeric NOT NULL CHECK (rate > 0 AND rate < 'Infinity'),
			CONSTRAINT one_rate_at_a_time EXCLUDE USING gist (from_unit WITH =, to_unit WITH =, valid WITH &&)
		);
		COMMENT ON TABLE %1$I.rate IS 'what one unit of from_unit is in to_unit, from the start of valid to before its end; set with settle.set_rate';
	$tables$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_fact_tables(name) IS 'makes the tables fact and rate of a book';

CREATE FUNCTION settle.add_fact(
	book regnamespace, fact name, relation regclass, key text, valid text DEFAULT NULL,
	value text DEFAULT NULL, lookup text DEFAULT NULL, source name DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_add_definition' LANGUAGE C;
COMMENT ON FUNCTION settle.add_fact(regnamespace, name, regclass, text, text, text, text, name) IS
	'names a value that comes from another relation: f.<fact> in expressions is value (else the column of that name) of the row whose key equals lookup (else the same text) of the ticket and whose valid contains its rules_at';

CREATE FUNCTION settle.set_rate(book regnamespace, from_unit text, to_unit text, rate numeric, at timestamptz DEFAULT now())
	RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.set_rate(regnamespace, text, text, numeric, timestamptz) IS
	'says what one unit of a currency is in another from an instant on; ends the rate before it';

CREATE FUNCTION settle._set_rate(book regnamespace, from_unit text, to_unit text, rate numeric, at timestamptz) RETURNS void
	LANGUAGE plpgsql STRICT
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	schema name := (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = book::oid);
	unit text;
	begun boolean;
BEGIN
	FOREACH unit IN ARRAY ARRAY[from_unit, to_unit] LOOP
		IF unit !~ '^[A-Z][A-Z0-9_]*$' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" is not a currency code', unit),
				HINT = 'Use the ISO 4217 code in capitals, for example CNY.';
		END IF;
	END LOOP;
	IF from_unit = to_unit THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('a rate from "%s" to itself is always 1', from_unit);
	END IF;
	IF rate <= 0 OR rate IN ('NaN', 'Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'numeric_value_out_of_range', MESSAGE = format('a rate must be positive, not %s', rate);
	END IF;
	IF NOT isfinite(at) THEN
		RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow', MESSAGE = format('a rate cannot begin at %s', at);
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %I.rate AS r WHERE r.from_unit = $1 AND r.to_unit = $2 AND lower(r.valid) = $3)', schema)
		INTO begun USING from_unit, to_unit, at;
	IF begun THEN
		RAISE EXCEPTION USING ERRCODE = 'unique_violation',
			MESSAGE = format('a rate from "%s" to "%s" begins at %s already', from_unit, to_unit, at),
			HINT = 'Tickets may have been priced with it. To mend it, change its row and rescan the tickets of its time.';
	END IF;
	EXECUTE format('UPDATE %I.rate AS r SET valid = tstzrange(lower(r.valid), $3) WHERE r.from_unit = $1 AND r.to_unit = $2 AND r.valid @> $3', schema)
		USING from_unit, to_unit, at;
	EXECUTE format('INSERT INTO %1$I.rate (from_unit, to_unit, valid, rate) SELECT $1, $2, tstzrange($3, min(lower(r.valid))), $4 '
		'FROM %1$I.rate AS r WHERE r.from_unit = $1 AND r.to_unit = $2 AND lower(r.valid) > $3', schema)
		USING from_unit, to_unit, at, rate;
END
$function$;
COMMENT ON FUNCTION settle._set_rate(regnamespace, text, text, numeric, timestamptz) IS 'body of settle.set_rate';
REVOKE ALL ON FUNCTION settle._set_rate(regnamespace, text, text, numeric, timestamptz) FROM PUBLIC;
