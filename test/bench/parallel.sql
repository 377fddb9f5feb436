-- Matching and pricing where any query may: settle.evaluate over bench.ticket,
-- whose parts PostgreSQL gives to as many workers as it is told.  The rules of the
-- book :book are a value, like a constant in a query; :figure is taken of "lines".
SELECT settle.rules(:'book') AS rules \gset
SELECT :figure FROM (SELECT settle.evaluate(:'rules', t, source => 'visit') AS lines FROM bench.ticket AS t) AS evaluated;
