SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS scrm_settle CASCADE;
RESET client_min_messages;

-- four tickets, one without a project
CREATE TEMP TABLE ticket (project ltree, region ltree, period date, revenue numeric(12,2), cost numeric(12,2));
INSERT INTO ticket VALUES
    ('install.ac.wall', 'cn.east.sh', '2025-01-01', 1000, 600),
    ('install.ac.wall', 'cn.east.sh', '2025-01-01', 200.50, 120),
    ('install.ac.duct', 'cn.east.hz', '2025-02-01', 3000, 2700),
    (NULL, 'cn.north.bj', '2025-02-01', NULL, 50);
SELECT settle.revenue_matrix(project, region, period, revenue, cost) FROM ticket;

-- rows: the cells alone, the cube, the tree
CREATE TEMP TABLE stored AS SELECT settle.revenue_matrix(project, region, period, revenue, cost) AS matrix FROM ticket;
SELECT c.* FROM stored, settle.cells(matrix, 'none') c ORDER BY project, region, period;
SELECT c.* FROM stored, settle.cells(matrix) c ORDER BY "grouping", project, region, period;
SELECT project, region, tickets, revenue, profit, margin FROM stored, settle.cells(matrix, 'tree')
WHERE "grouping" = 1 AND project_level <= 2 ORDER BY project, region;

-- nothing has a grand total too
SELECT settle.revenue_matrix(project, region, period, revenue, cost) FROM ticket WHERE false;
SELECT c.* FROM settle.cells('{"paths": [], "cells": []}') c;

-- matrices add up, go through jsonb and back
SELECT settle.matrix_sum(m) FROM stored, LATERAL (VALUES (matrix), (matrix), (NULL)) v (m);
SELECT matrix::jsonb, matrix::jsonb::settle.matrix::text = matrix::text AS same FROM stored;
SELECT settle.matrix_send('{"paths": ["a"], "cells": [[0, null, "2025-01-01", 1, "1.50", null]]}');

-- what is not a matrix
SELECT '{"paths": ["a b"], "cells": []}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": []}'::settle.matrix;
SELECT '{"paths": ["a", "a"], "cells": []}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 1, null, 1, null, null]]}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 0, "2025-02-30", 1, null, null]]}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 0, null, 0, null, null]]}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 0, null, 1, 1.5, null]]}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 0, null, 1, "NaN", null]]}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 0, null, 1, null, null], [0, 0, null, 1, null, null]]}'::settle.matrix;
SELECT '{"paths": ["a"], "cells": [[0, 0, null, 1, null, null]'::settle.matrix;
SELECT settle.revenue_matrix('a', 'b', '2025-01-01', 'NaN', 0);
SELECT settle.cells('{"paths": [], "cells": []}', 'rollup');

-- heat
SELECT v, settle.heat(v, 0, 500) AS heat, settle.heat_color(settle.heat(v, 0, 500)) AS color
FROM unnest('{-20, 0, 49.99, 50, 123, 250, 449.99, 450, 500, 800, NULL}'::numeric[]) v;
SELECT settle.heat(7, 7, 7) AS middle, settle.heat(6, 7, 7) AS below, settle.heat(8, 7, 7) AS above;
SELECT settle.heat(1, 2, 0);
SELECT settle.heat_color(10);
