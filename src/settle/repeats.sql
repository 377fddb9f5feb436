-- repeats: which tickets of an order are duplicates

CREATE FUNCTION settle._create_repeats_tables(book name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
	EXECUTE format($tables$
		CREATE TABLE %1$I.order_ticket (
			source_id smallint NOT NULL,
			ticket_key text NOT NULL,
			order_ref text NOT NULL,
			project text NOT NULL,
			ready_at timestamptz NOT NULL,
			duplicate_of text,
			PRIMARY KEY (source_id, ticket_key)
		);
		CREATE INDEX order_ticket_order ON %1$I.order_ticket (source_id, order_ref);
		COMMENT ON TABLE %1$I.order_ticket IS 'ready tickets that name an order, and the first ticket of the same order and project, which they are duplicates of; null for the first';

		CREATE TABLE %1$I.order_gate (
			source_id smallint NOT NULL,
			order_ref text NOT NULL,
			PRIMARY KEY (source_id, order_ref)
		);
		COMMENT ON TABLE %1$I.order_gate IS 'always empty: who settles tickets of one order at commit, or takes back one ticket (then minus source_id and its key), waits for others by inserting the same row and deleting it again';
	$tables$, book);
END
$function$;
COMMENT ON FUNCTION settle._create_repeats_tables(name) IS 'makes the tables of a book that tell duplicates';
