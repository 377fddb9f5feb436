-- personal: what of payloads is personal, how it is masked, how it is forgotten

-- ---- phones ----

CREATE FUNCTION settle.normalize_phone(phone text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.regexp_replace(
		pg_catalog.translate(phone, '０１２３４５６７８９＋－＊—–（）() 　' OPERATOR(pg_catalog.||) pg_catalog.chr(9) OPERATOR(pg_catalog.||) pg_catalog.chr(160), '0123456789+-*--'),
		E'转|,|，|[Ee]xt\\.?', '-'), E'^(\\+|00)?86-?(?=1[3-9*])', ''), '^(1[3-9][0-9])-([0-9]{4})-([0-9]{4})', E'\\1\\2\\3');
COMMENT ON FUNCTION settle.normalize_phone(text) IS
	'a phone number without blanks, brackets and the code of China, in half-width digits, an extension after a hyphen';

CREATE FUNCTION settle._is_cipher(value text) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN value OPERATOR(pg_catalog.~) '^[!-~]{12,}$' AND value OPERATOR(pg_catalog.~) '[=#$~]';
COMMENT ON FUNCTION settle._is_cipher(text) IS 'whether a value is what a platform encrypted: one long word of ASCII with marks in it';

CREATE FUNCTION settle.phone_form(phone text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE
		WHEN settle.normalize_phone(phone) OPERATOR(pg_catalog.~) '^[0-9*+-]*[*][0-9*+-]*$' THEN 'masked'
		WHEN settle.normalize_phone(phone) OPERATOR(pg_catalog.~) '^1[3-9][0-9]{9}-[0-9]{1,8}$' THEN 'virtual'
		WHEN settle.normalize_phone(phone) OPERATOR(pg_catalog.~) '^(1[3-9][0-9]{9}|0[0-9]{2,3}-?[0-9]{7,8}(-[0-9]{1,6})?|[48]00-?[0-9]{3}-?[0-9]{4}|[0-9]{7,8}|[+][0-9]{6,15})$' THEN 'plain'
		WHEN settle._is_cipher(phone) THEN 'encrypted'
		ELSE 'other'
	END;
COMMENT ON FUNCTION settle.phone_form(text) IS
	'what a platform gives as a phone: plain, virtual (a number with an extension that expires), masked, encrypted, or other';

-- ---- masks ----

CREATE FUNCTION settle.mask_phone(phone text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE settle.phone_form(phone)
		WHEN 'masked' THEN settle.normalize_phone(phone)
		WHEN 'encrypted' THEN NULL
		WHEN 'other' THEN '****'
		ELSE CASE
			WHEN settle.normalize_phone(phone) OPERATOR(pg_catalog.~) '^1[3-9][0-9]{9}'
				THEN pg_catalog.regexp_replace(settle.normalize_phone(phone), '^([0-9]{3})[0-9]{4}([0-9]{4})(-.*)?$', E'\\1****\\2')
			ELSE pg_catalog.left(settle.normalize_phone(phone), 4) OPERATOR(pg_catalog.||) '****'
		END
	END;
COMMENT ON FUNCTION settle.mask_phone(text) IS 'a phone for readers: 138****8000, 0571****; null where it is encrypted';

CREATE FUNCTION settle.mask_name(name text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE WHEN NOT settle._is_cipher(name) THEN pg_catalog.left(pg_catalog.btrim(name, ' 　'), 1) OPERATOR(pg_catalog.||) '**' END;
COMMENT ON FUNCTION settle.mask_name(text) IS 'a name for readers, the surname and no more: 张**; null where it is encrypted';

CREATE FUNCTION settle.mask_email(email text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE WHEN NOT settle._is_cipher(email) OR email OPERATOR(pg_catalog.~) '@' THEN pg_catalog.regexp_replace(email, '^(.?)[^@]*', E'\\1***') END;
COMMENT ON FUNCTION settle.mask_email(text) IS 'an address of mail for readers: z***@example.com';

-- a mobile number, and one of an identity card, that stand alone among digits
CREATE FUNCTION settle.mask_text(value text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.regexp_replace(value,
		'(?<![0-9０-９])([1１][3-9３-９][0-9０-９])[ -]?[0-9０-９]{4}[ -]?([0-9０-９]{4})(?![0-9０-９])', E'\\1****\\2', 'g'),
		'(?<![0-9])([1-9][0-9]{5})(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx](?![0-9])', E'\\1************', 'g'),
		'[A-Za-z0-9._%+-]+(@[A-Za-z0-9-]+[.][A-Za-z0-9.-]+)', E'***\\1', 'g');
COMMENT ON FUNCTION settle.mask_text(text) IS
	'free text for readers: mobile numbers, numbers of identity cards and addresses of mail are masked in it; names are not found';

CREATE FUNCTION settle._hide_values(message text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN pg_catalog.regexp_replace(message, '".*"', '"***"');
COMMENT ON FUNCTION settle._hide_values(text) IS 'a message without the values that it quotes';

-- ---- what stands where ----

-- free text of people: kept for evidence, never shown to readers, gone with the person
CREATE FUNCTION settle._free_text(entity text) RETURNS text[]
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE entity
		WHEN 'shop_order' THEN '{seller_memo}'
		WHEN 'shop_payment' THEN '{attach}'
		WHEN 'platform_ticket' THEN '{title,description,raw_amount}'
		WHEN 'shipment_event' THEN '{context}'
		ELSE '{}'
	END::text[];
COMMENT ON FUNCTION settle._free_text(text) IS 'columns of a table of payloads that hold what people wrote';

-- What settlement reads of a free text and so may not lose, or a later version of
-- an order would be settled otherwise: a code, numbers that lead to an order, words
-- that conditions and aliases look for.
CREATE FUNCTION settle._essence(book regnamespace, value text) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	essence text;
BEGIN
	IF value IS NULL OR value ~ '^[A-Za-z0-9_.:/-]{1,64}$' AND NOT settle.looks_personal(value) THEN
		RETURN value;
	END IF;
	EXECUTE format($sql$
		WITH word AS (
			SELECT btrim(replace(m.part[1], '''''', ''''), '%%') AS word
			FROM (
				SELECT r.applies_when FROM %1$s.order_ticket_rule AS r
				UNION SELECT o.applies_when FROM %1$s.outcome AS o
				UNION SELECT r.applies_when FROM %1$s.rule AS r
			) AS c
			CROSS JOIN LATERAL regexp_matches(c.applies_when, '''((?:[^'']|'''')+)''', 'g') AS m (part)
			UNION SELECT a.staff_ref FROM %1$s.staff_alias AS a WHERE a.kind = 'word'
		), number AS (
			SELECT m.found[1] AS number
			FROM %1$s.order_pattern AS p
			CROSS JOIN LATERAL regexp_matches(normalize($1, NFKC) COLLATE "C", p.pattern, 'g') AS m (found)
		)
		SELECT string_agg(DISTINCT f.found, ' ')
		FROM (
			SELECT w.word FROM word AS w WHERE length(w.word) BETWEEN 1 AND 40 AND strpos(lower(normalize($1, NFKC)), lower(normalize(w.word, NFKC))) > 0
			UNION
			SELECT n.number FROM number AS n WHERE EXISTS (SELECT FROM %1$s.order_number AS v WHERE v.number = n.number)
		) AS f (found)
	$sql$, book) INTO essence USING value;
	RETURN essence;
END
$function$;
COMMENT ON FUNCTION settle._essence(regnamespace, text) IS 'what settlement reads of a free text: a code, numbers that lead to an order, words of conditions and aliases';

CREATE FUNCTION settle._create_personal_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		ALTER TABLE %1$I.staging ADD kept jsonb;
		CREATE INDEX staging_body ON %1$I.staging (received_at) WHERE payload IS NOT NULL OR raw IS NOT NULL;
		COMMENT ON COLUMN %1$I.staging.kept IS 'rows that the payload became, without what is personal, once its body is gone';
		CREATE TABLE %1$I.erased (
			subject text PRIMARY KEY,
			erased_at timestamptz NOT NULL DEFAULT now()
		);
		COMMENT ON TABLE %1$I.erased IS 'subjects whose person was erased: what arrives of them later lands without what is personal';
		COMMENT ON COLUMN %1$I.erased.subject IS 'order, ticket, payment or contact as in <book>.person, or parcel:<tracking number>';
	$tables$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_personal_tables(name) IS 'makes what remembers who was erased';

CREATE FUNCTION settle._is_personal_key(key_type text) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN key_type OPERATOR(pg_catalog.~) '(phone|mobile|email|nick|address)';
COMMENT ON FUNCTION settle._is_personal_key(text) IS 'whether keys of a type are personal: phones, nicks and addresses, also as digests, which are soon guessed; those that platforms give out are codes';

CREATE FUNCTION settle._map_staging(book regnamespace, ids bigint[]) RETURNS TABLE (staging_id bigint, entity text, columns jsonb)
	AS 'MODULE_PATHNAME', 'settle_map_staging' LANGUAGE C STRICT ROWS 1000;
COMMENT ON FUNCTION settle._map_staging(regnamespace, bigint[]) IS 'the rows that payloads become which stand in staging, with the rights of the caller';

-- ---- forgetting ----

CREATE FUNCTION settle._reduce(book regnamespace, ids bigint[]) RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	reduced bigint;
BEGIN
	EXECUTE format($sql$
		WITH kept AS (
			SELECT m.staging_id, jsonb_agg(jsonb_build_object('entity', m.entity) || (m.columns - settle._free_text(m.entity))) AS kept
			FROM settle._map_staging($2, $1) AS m
			WHERE m.entity <> 'person' AND NOT (m.entity = 'customer_identity' AND settle._is_personal_key(m.columns ->> 'key_type'))
			GROUP BY m.staging_id
		)
		UPDATE %s.staging AS s
		SET kept = CASE WHEN s.state <> 'quarantined' THEN (SELECT k.kept FROM kept AS k WHERE k.staging_id = s.staging_id) END,
			payload = NULL, raw = NULL, message = settle._hide_values(s.message)
		WHERE s.staging_id = ANY ($1) AND s.state <> 'new' AND num_nonnulls(s.payload, s.raw) = 1
	$sql$, book) USING ids, book;
	GET DIAGNOSTICS reduced = ROW_COUNT;
	RETURN reduced;
END
$function$;
COMMENT ON FUNCTION settle._reduce(regnamespace, bigint[]) IS
	'takes the bodies away from payloads that were ingested, and keeps the rows that they became without what is personal; returns how many';

CREATE FUNCTION settle._forget(book regnamespace, subjects text[], ids bigint[], OUT persons bigint, OUT texts bigint, OUT keys bigint, OUT bodies bigint)
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	changed bigint;
BEGIN
	EXECUTE format('DELETE FROM %s.person AS p WHERE p.subject = ANY ($1) AND p.platform = split_part(p.subject, '':'', 1)', book) USING subjects;
	GET DIAGNOSTICS persons = ROW_COUNT;
	EXECUTE format('DELETE FROM %s.customer_identity AS i WHERE i.subject = ANY ($1) AND settle._is_personal_key(i.key_type)', book) USING subjects;
	GET DIAGNOSTICS keys = ROW_COUNT;
	EXECUTE format($sql$
		UPDATE %s.shop_order AS o SET seller_memo = settle._essence($2, o.seller_memo)
		FROM settle._subject_numbers($1, 'order') AS s
		WHERE o.order_no = s.number AND o.platform = s.platform AND o.seller_memo IS DISTINCT FROM settle._essence($2, o.seller_memo)
	$sql$, book) USING subjects, book;
	GET DIAGNOSTICS texts = ROW_COUNT;
	EXECUTE format($sql$
		UPDATE %s.shop_payment AS p SET attach = settle._essence($2, p.attach)
		FROM settle._subject_numbers($1, 'payment') AS s
		WHERE p.payment_no = s.number AND p.platform = s.platform AND p.attach IS DISTINCT FROM settle._essence($2, p.attach)
	$sql$, book) USING subjects, book;
	GET DIAGNOSTICS changed = ROW_COUNT;
	texts := texts + changed;
	EXECUTE format($sql$
		UPDATE %1$s.platform_ticket AS t SET (title, description, raw_amount) = ROW (e.title, e.description, e.raw_amount)
		FROM settle._subject_numbers($1, 'ticket') AS s
		JOIN %1$s.platform_ticket AS p ON (p.platform, p.ticket_no) = (s.platform, s.number)
		CROSS JOIN LATERAL (SELECT settle._essence($2, p.title) AS title, settle._essence($2, p.description) AS description, settle._essence($2, p.raw_amount) AS raw_amount) AS e
		WHERE (t.platform, t.shop, t.ticket_no) = (p.platform, p.shop, p.ticket_no)
			AND (t.title, t.description, t.raw_amount) IS DISTINCT FROM (e.title, e.description, e.raw_amount)
	$sql$, book) USING subjects, book;
	GET DIAGNOSTICS changed = ROW_COUNT;
	texts := texts + changed;
	EXECUTE format($sql$
		UPDATE %1$s.shipment_event AS e SET context = NULL
		FROM settle._subject_numbers($1, 'parcel') AS s
		JOIN %1$s.shipment AS h ON h.tracking_no = s.number
		WHERE (e.platform, e.carrier, e.tracking_no) = (h.platform, h.carrier, h.tracking_no) AND e.context IS NOT NULL
	$sql$, book) USING subjects;
	GET DIAGNOSTICS changed = ROW_COUNT;
	texts := texts + changed;
	bodies := settle._reduce(book, ids);
END
$function$;
COMMENT ON FUNCTION settle._forget(regnamespace, text[], bigint[]) IS
	'takes away what is personal of some subjects, and the bodies of payloads; returns how much: rows of persons, free texts, keys, bodies';

CREATE FUNCTION settle._subject_numbers(subjects text[], kind text) RETURNS TABLE (platform text, number text)
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	BEGIN ATOMIC
		SELECT p.part[1], p.part[3]
		FROM pg_catalog.unnest(subjects) AS u (subject)
		CROSS JOIN LATERAL pg_catalog.regexp_match(CASE WHEN u.subject OPERATOR(pg_catalog.~) '^parcel:' THEN ':' ELSE '' END OPERATOR(pg_catalog.||) u.subject, '^([^:]*):([^:]*):(.*)$') AS p (part)
		WHERE p.part[2] OPERATOR(pg_catalog.=) kind;
	END;
COMMENT ON FUNCTION settle._subject_numbers(text[], text) IS 'platform and number of the subjects of a kind: order, ticket, payment, parcel';
