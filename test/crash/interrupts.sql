-- The functions of interrupts.c, whose library the variable names.
CREATE SCHEMA interrupt;
CREATE FUNCTION interrupt.begin() RETURNS void AS :'library', 'stretch_begin' LANGUAGE C;
CREATE FUNCTION interrupt.end(OUT longest float8, OUT calls text) AS :'library', 'stretch_end' LANGUAGE C;
CREATE FUNCTION interrupt.cancel_in(milliseconds float8) RETURNS void AS :'library', 'cancel_in' LANGUAGE C STRICT;
CREATE FUNCTION interrupt.cancelled(OUT processor float8, OUT wall float8) AS :'library', 'cancelled' LANGUAGE C;
