-- watermark: how far each platform was read

CREATE FUNCTION settle._create_watermark_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($table$
		CREATE TABLE %1$I.watermark (
			platform text NOT NULL CHECK (platform <> ''),
			shop text NOT NULL,
			api text NOT NULL CHECK (api <> ''),
			position timestamptz NOT NULL CHECK (isfinite(position)),
			overlap interval NOT NULL DEFAULT '10 minutes' CHECK (overlap >= interval '0'),
			longest interval NOT NULL DEFAULT '1 day',
			set_at timestamptz NOT NULL DEFAULT now(),
			set_by text NOT NULL,
			updated_at timestamptz NOT NULL DEFAULT now(),
			PRIMARY KEY (platform, shop, api),
			CONSTRAINT windows_move_on CHECK (longest > 2 * overlap)
		) WITH (fillfactor = 50);
		COMMENT ON TABLE %1$I.watermark IS 'how far an interface of a platform was read completely, by the time that its rows carry; the next window begins overlap before it and is at most longest long; set_by is who gave it by hand';
	$table$, book);
	PERFORM settle._journal(book, 'watermark', '{platform,shop,api}', '{position,updated_at}');
END
$function$;
COMMENT ON FUNCTION settle._create_watermark_tables(name) IS 'makes the watermarks of a book';

CREATE FUNCTION settle.set_watermark(
	book regnamespace, platform text, shop text, api text, "position" timestamptz,
	overlap interval DEFAULT NULL, longest interval DEFAULT NULL, reason text DEFAULT NULL
) RETURNS void AS 'MODULE_PATHNAME', 'settle_as_clerk' LANGUAGE C;
COMMENT ON FUNCTION settle.set_watermark(regnamespace, text, text, text, timestamptz, interval, interval, text) IS
	'begins to read an interface at a time, or has it read again from an earlier or a later one; noted in the journal';

CREATE FUNCTION settle._set_watermark(
	book regnamespace, platform text, shop text, api text, "position" timestamptz,
	overlap interval, longest interval, reason text
) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF platform IS NULL OR shop IS NULL OR api IS NULL OR "position" IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a watermark needs a platform, a shop, an interface and a time';
	END IF;
	IF "position" > now() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a watermark cannot stand in the future, at %s', "position"),
			DETAIL = 'Nothing before it would ever be read.';
	END IF;
	EXECUTE format($sql$
		INSERT INTO %s.watermark AS w (platform, shop, api, position, overlap, longest, set_by)
		VALUES ($1, $2, $3, $4, coalesce($5, '10 minutes'), coalesce($6, '1 day'), settle.actor($7))
		ON CONFLICT ON CONSTRAINT watermark_pkey DO UPDATE SET
			position = excluded.position, overlap = coalesce($5, w.overlap), longest = coalesce($6, w.longest),
			set_at = clock_timestamp(), set_by = excluded.set_by, updated_at = clock_timestamp()
	$sql$, book) USING platform, shop, api, "position", overlap, longest, book;
END
$function$;
COMMENT ON FUNCTION settle._set_watermark(regnamespace, text, text, text, timestamptz, interval, interval, text) IS 'body of settle.set_watermark';
REVOKE ALL ON FUNCTION settle._set_watermark(regnamespace, text, text, text, timestamptz, interval, interval, text) FROM PUBLIC;

CREATE FUNCTION settle._no_watermark(platform text, shop text, api text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'undefined_object',
		MESSAGE = format('"%s" of shop "%s" at "%s" has no watermark', api, shop, platform),
		HINT = 'Say with settle.set_watermark from when on it is to be read.';
END
$function$;
COMMENT ON FUNCTION settle._no_watermark(text, text, text) IS 'raises 42704';

CREATE FUNCTION settle.next_window(
	book regnamespace, platform text, shop text, api text, OUT since timestamptz, OUT upto timestamptz
) RETURNS record AS 'MODULE_PATHNAME', 'settle_as_connector' LANGUAGE C STRICT;
COMMENT ON FUNCTION settle.next_window(regnamespace, text, text, text) IS
	'the window to be read next: from the overlap before the watermark to now, or as far as one call of the platform may reach';

CREATE FUNCTION settle._next_window(
	book regnamespace, platform text, shop text, api text, OUT since timestamptz, OUT upto timestamptz
) RETURNS record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($sql$
		SELECT w.position - w.overlap, least(clock_timestamp(), w.position - w.overlap + w.longest)
		FROM %s.watermark AS w WHERE w.platform = $1 AND w.shop = $2 AND w.api = $3
	$sql$, book) INTO since, upto USING platform, shop, api;
	IF since IS NULL THEN
		PERFORM settle._no_watermark(platform, shop, api);
	END IF;
END
$function$;
COMMENT ON FUNCTION settle._next_window(regnamespace, text, text, text) IS 'body of settle.next_window';
REVOKE ALL ON FUNCTION settle._next_window(regnamespace, text, text, text) FROM PUBLIC;

CREATE FUNCTION settle.advance_watermark(
	book regnamespace, platform text, shop text, api text, since timestamptz, upto timestamptz, seen timestamptz DEFAULT NULL
) RETURNS timestamptz AS 'MODULE_PATHNAME', 'settle_as_connector' LANGUAGE C;
COMMENT ON FUNCTION settle.advance_watermark(regnamespace, text, text, text, timestamptz, timestamptz, timestamptz) IS
	'notes that a window was read completely, seen being the latest time of its rows; moves the watermark there, or to the overlap before the end of the window, never backwards; returns it';

CREATE FUNCTION settle._advance_watermark(
	book regnamespace, platform text, shop text, api text, since timestamptz, upto timestamptz, seen timestamptz
) RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	stands timestamptz;
BEGIN
	IF platform IS NULL OR shop IS NULL OR api IS NULL OR since IS NULL OR upto IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'a platform, a shop, an interface and both ends of the window must be given';
	END IF;
	IF since > upto OR upto > clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a window from %s to %s cannot have been read', since, upto),
			HINT = 'Give the two ends that settle.next_window has given.';
	END IF;
	IF seen > upto THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a row of %s lies behind the window, which ends at %s', seen, upto),
			DETAIL = 'What else lies there was not fetched; the watermark would pass it.';
	END IF;
	EXECUTE format('SELECT w.position FROM %s.watermark AS w WHERE w.platform = $1 AND w.shop = $2 AND w.api = $3 FOR UPDATE', book)
		INTO stands USING platform, shop, api;
	IF stands IS NULL THEN
		PERFORM settle._no_watermark(platform, shop, api);
	END IF;
	IF since > stands THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('the window begins at %s, after the watermark at %s', since, stands),
			DETAIL = 'What lies between was not fetched.',
			HINT = 'Ask settle.next_window anew: the watermark may have been set back.';
	END IF;
	EXECUTE format($sql$
		UPDATE %s.watermark AS w SET position = greatest(w.position, $4, $5 - w.overlap), updated_at = clock_timestamp()
		WHERE w.platform = $1 AND w.shop = $2 AND w.api = $3
		RETURNING w.position
	$sql$, book) INTO stands USING platform, shop, api, seen, upto;
	RETURN stands;
END
$function$;
COMMENT ON FUNCTION settle._advance_watermark(regnamespace, text, text, text, timestamptz, timestamptz, timestamptz) IS 'body of settle.advance_watermark';
REVOKE ALL ON FUNCTION settle._advance_watermark(regnamespace, text, text, text, timestamptz, timestamptz, timestamptz) FROM PUBLIC;
