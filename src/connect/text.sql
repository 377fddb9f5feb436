-- text: names that people write in many ways, made one

/*
 * NFKC makes full-width digits, letters and brackets ASCII; only then are
 * capitals, spaces and brackets looked at.  Every step names its characters and
 * runs under the collation C, so the result depends on no locale: letters
 * beyond ASCII keep their case.  The dates of the great sales are one token,
 * however they are written: 11.11, 11·11, 1111 and 双十一 are 双11.
 */
CREATE FUNCTION settle.normalize_text(text text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	BEGIN ATOMIC
		WITH folded AS (
			-- dots of all kinds; a middle dot between digits is a point
			SELECT pg_catalog.regexp_replace(pg_catalog.translate(pg_catalog.lower(normalize(normalize_text.text, NFKC) COLLATE "C"), '·•・‧∙⋅。', '·······'),
				'(?<=[0-9])·(?=[0-9])', '.', 'g') AS t
		), bare AS (
			-- what only sets off or joins: spaces, marks without width, brackets, other middle dots
			SELECT pg_catalog.translate(f.t, E' \t\n\r\f\u000b\u0085\u200b\u200c\u200d\u2060\ufeff()[]{}<>·【】〔〕「」『』《》〈〉〖〗〘〙〚〛', '') AS t
			FROM folded AS f
		), counted AS (
			-- 十一 is 11, 二十 is 20, 二十五 is 25, 六一八 is 618
			SELECT pg_catalog.translate(
				pg_catalog.replace(
					pg_catalog.regexp_replace(
						pg_catalog.regexp_replace(
							pg_catalog.regexp_replace(b.t, '([一二三四五六七八九])十([一二三四五六七八九])', E'\\1\\2', 'g'),
							'([一二三四五六七八九])十', E'\\10', 'g'),
						'十([一二三四五六七八九])', E'1\\1', 'g'),
					'十', '10'),
				'〇零一二三四五六七八九', '00123456789') AS t
			FROM bare AS b
		)
		SELECT pg_catalog.regexp_replace(
			pg_catalog.regexp_replace(
				pg_catalog.regexp_replace(c.t, '(双(11)?|(?<![0-9.]))11[.]?11(?![0-9]|[.][0-9])', '双11', 'g'),
				'(双(12)?|(?<![0-9.]))12[.]?12(?![0-9]|[.][0-9])', '双12', 'g'),
			'(?<![0-9.])6[.]18(?![0-9]|[.][0-9])', '618', 'g')
		FROM counted AS c;
	END;
COMMENT ON FUNCTION settle.normalize_text(text) IS
	'a name without what people write differently: NFKC, lower case, no spaces and brackets, Chinese numerals as digits, 11.11, 1111 and 双十一 as 双11; needs a database in UTF8';

/*
 * A pattern of a user is tried before it is kept.  The engine of PostgreSQL
 * matches in time linear in the text as long as nothing refers back to what a
 * group has matched, and what the names have is short; so a bound on the
 * pattern, and none of those references, is all it takes.
 */
CREATE FUNCTION settle._vet_pattern(pattern text) RETURNS boolean
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	IF length(pattern) > 300 THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
			MESSAGE = format('a pattern of %s characters is too long', length(pattern)),
			HINT = 'It may have 300 characters; several patterns are several rows.';
	END IF;
	IF pattern COLLATE "C" ~ '^[*]{3}' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression',
			MESSAGE = format('pattern "%s" begins with a director', pattern),
			HINT = 'Patterns are advanced regular expressions of PostgreSQL, and nothing else.';
	END IF;
	IF pattern COLLATE "C" ~ E'\\\\[0-9]' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression',
			MESSAGE = format('pattern "%s" refers back to what it has matched', pattern),
			DETAIL = 'Such a pattern can take exponential time.',
			HINT = 'Write the alternatives out.';
	END IF;
	BEGIN
		IF '' COLLATE "C" ~ pattern THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('pattern "%s" matches an empty text', pattern),
				HINT = 'It would find something everywhere.';
		END IF;
	EXCEPTION WHEN invalid_regular_expression THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_regular_expression',
			MESSAGE = format('pattern "%s" is no regular expression', pattern),
			DETAIL = SQLERRM;
	END;
	RETURN true;
END
$function$;
COMMENT ON FUNCTION settle._vet_pattern(text) IS 'raises an error where a regular expression of a user is malformed, too long, refers back, or matches everything';
