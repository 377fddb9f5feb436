-- Every object of the extension as text without numbers of the database: equal
-- where two databases have the same extension.
\set ON_ERROR_STOP 1
\set QUIET 1
\pset tuples_only on
\pset format unaligned
SET search_path = pg_catalog;
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name, obj_description(d.objid, d.classid::regclass::name) AS comment
FROM pg_depend AS d
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'scrm_settle');
-- privileges as a list in order, what nobody has changed spelled out
CREATE FUNCTION pg_temp.rights(acl aclitem[], kind "char", owner oid) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(acl, acldefault(kind, owner))) AS a $$;
SELECT concat_ws(' | ', name, definition, 'comment ' || comment) FROM (
	SELECT m.name, m.comment, concat_ws(' | ', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, p.prosupport, pg_temp.rights(p.proacl, 'f', p.proowner), a.aggkind, a.aggtransfn::regproc, a.aggfinalfn::regproc, a.aggcombinefn::regproc,
		a.aggserialfn::regproc, a.aggdeserialfn::regproc, a.aggmtransfn::regproc, a.aggminvtransfn::regproc, a.aggmfinalfn::regproc, a.aggtranstype::regtype, a.aggtransspace, a.aggmtranstype::regtype, a.agginitval, a.aggminitval,
		CASE WHEN p.prokind = 'a' THEN concat_ws(' ', p.proparallel, p.provolatile, pg_get_function_result(p.oid), p.proargnames) END) AS definition
	FROM member AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid LEFT JOIN pg_aggregate AS a ON a.aggfnoid = p.oid
	UNION ALL
	SELECT m.name, m.comment, concat_ws(' | ', t.typlen, t.typbyval, t.typtype, t.typcategory, t.typispreferred, t.typdelim, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze, t.typsubscript, t.typalign, t.typstorage, t.typnotnull, t.typcollation::regcollation,
		(SELECT string_agg(c.attname || ' ' || format_type(c.atttypid, c.atttypmod), ', ' ORDER BY c.attnum) FROM pg_attribute AS c WHERE c.attrelid = t.typrelid AND c.attnum > 0 AND NOT c.attisdropped), pg_temp.rights(t.typacl, 'T', t.typowner))
	FROM member AS m JOIN pg_type AS t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
	UNION ALL
	SELECT m.name, m.comment, concat_ws(' | ', o.oprcanmerge, o.oprcanhash, o.oprresult::regtype, o.oprcode, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, o.oprjoin)
	FROM member AS m JOIN pg_operator AS o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
	UNION ALL
	SELECT m.name, m.comment, concat_ws(' | ', c.castfunc::regprocedure, c.castcontext, c.castmethod)
	FROM member AS m JOIN pg_cast AS c ON m.classid = 'pg_cast'::regclass AND c.oid = m.objid
	UNION ALL
	SELECT m.name, m.comment, concat_ws(' | ', c.opcdefault, c.opcintype::regtype, c.opckeytype::regtype)
	FROM member AS m JOIN pg_opclass AS c ON m.classid = 'pg_opclass'::regclass AND c.oid = m.objid
	UNION ALL
	SELECT m.name, m.comment, concat_ws(' | ', (SELECT string_agg(concat_ws(' ', a.amopstrategy, a.amopopr::regoperator), ', ' ORDER BY a.amopstrategy, a.amopopr::regoperator::text) FROM pg_amop AS a WHERE a.amopfamily = m.objid),
		(SELECT string_agg(concat_ws(' ', a.amprocnum, a.amproc::regprocedure), ', ' ORDER BY a.amprocnum, a.amproc::regprocedure::text) FROM pg_amproc AS a WHERE a.amprocfamily = m.objid))
	FROM member AS m WHERE m.classid = 'pg_opfamily'::regclass
	UNION ALL
	SELECT m.name, m.comment, pg_temp.rights(n.nspacl, 'n', n.nspowner)
	FROM member AS m JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
	UNION ALL
	SELECT m.name, m.comment, NULL FROM member AS m WHERE m.classid NOT IN ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass, 'pg_namespace'::regclass)
) AS objects ORDER BY name COLLATE "C";
SELECT 'version ' || e.extversion FROM pg_extension AS e WHERE e.extname = 'scrm_settle';
