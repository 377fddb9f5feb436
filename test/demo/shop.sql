-- The chain beside its book: where it works, what it sells, which days are busy.
-- Each table carries in "starts" the share of all tickets that come before its
-- row, so that a number between 0 and 1 picks a row by weight.
CREATE SCHEMA shop;

-- level: prices against the national list.  youth: a young market installs, an
-- old one repairs.  Where dealers are named they do the work; elsewhere the
-- chain's own technicians do.  The country and its areas have a name only.
CREATE TABLE shop.region AS
SELECT number, path::ltree, name, weight, level, youth, dealers,
       (sum(weight) OVER w - weight)::float8 / sum(weight) OVER () AS starts,
       workers, sum(workers) OVER w - workers AS first_worker
FROM (SELECT row_number() OVER () AS number, * FROM (VALUES
    ('cn', '全国', 0, null, null, null),
    ('cn.north', '华北', 0, null, null, null),
    ('cn.north.beijing', '北京', 60, 1.25, 0.75, null), ('cn.north.tianjin', '天津', 30, 1.05, 0.80, null),
    ('cn.north.hebei', '河北', 50, 0.95, 1.10, null), ('cn.north.shanxi', '山西', 30, 0.90, 1.00, 'sx'),
    ('cn.north.neimenggu', '内蒙古', 20, 0.95, 1.15, 'nm'),
    ('cn.northeast', '东北', 0, null, null, null),
    ('cn.northeast.liaoning', '辽宁', 40, 0.95, 0.65, null), ('cn.northeast.jilin', '吉林', 20, 0.90, 0.70, 'jl'),
    ('cn.northeast.heilongjiang', '黑龙江', 25, 0.90, 0.70, 'hl'),
    ('cn.east', '华东', 0, null, null, null),
    ('cn.east.shanghai', '上海', 70, 1.30, 0.75, null), ('cn.east.jiangsu', '江苏', 90, 1.10, 1.00, null),
    ('cn.east.zhejiang', '浙江', 80, 1.15, 1.10, null), ('cn.east.anhui', '安徽', 50, 0.95, 1.30, null),
    ('cn.east.fujian', '福建', 50, 1.05, 1.10, null), ('cn.east.jiangxi', '江西', 35, 0.90, 1.20, 'jx'),
    ('cn.east.shandong', '山东', 85, 1.00, 0.95, null),
    ('cn.central', '华中', 0, null, null, null),
    ('cn.central.henan', '河南', 70, 0.90, 1.20, null), ('cn.central.hubei', '湖北', 55, 1.00, 1.00, null),
    ('cn.central.hunan', '湖南', 55, 1.00, 1.10, null),
    ('cn.south', '华南', 0, null, null, null),
    ('cn.south.guangdong', '广东', 120, 1.15, 0.90, null), ('cn.south.guangxi', '广西', 35, 0.90, 1.30, 'gx'),
    ('cn.south.hainan', '海南', 10, 1.05, 1.40, 'hi'),
    ('cn.southwest', '西南', 0, null, null, null),
    ('cn.southwest.chongqing', '重庆', 35, 1.00, 1.10, null), ('cn.southwest.sichuan', '四川', 70, 1.00, 1.10, 'sc'),
    ('cn.southwest.guizhou', '贵州', 25, 0.90, 1.60, 'gz'), ('cn.southwest.yunnan', '云南', 30, 0.95, 1.40, 'yn'),
    ('cn.southwest.xizang', '西藏', 3, 1.20, 1.80, 'xz'),
    ('cn.northwest', '西北', 0, null, null, null),
    ('cn.northwest.shaanxi', '陕西', 35, 1.00, 1.00, null), ('cn.northwest.gansu', '甘肃', 15, 0.90, 1.20, 'gs'),
    ('cn.northwest.qinghai', '青海', 4, 1.00, 1.30, 'qh'), ('cn.northwest.ningxia', '宁夏', 6, 0.90, 1.30, 'nx'),
    ('cn.northwest.xinjiang', '新疆', 18, 1.05, 1.50, 'xj')) v(path, name, weight, level, youth, dealers)) v
CROSS JOIN LATERAL (SELECT CASE WHEN dealers IS NULL THEN weight * 3 ELSE 0 END) c(workers)
WINDOW w AS (ORDER BY number);

-- Branches of the tree have a name only; leaves are sold: list price, share of
-- the price that goes into parts.
CREATE TABLE shop.project AS
SELECT number, path::ltree, name, weight, price, parts,
       (sum(weight) OVER w - weight)::float8 / sum(weight) OVER () AS starts
FROM (SELECT row_number() OVER () AS number, * FROM (VALUES
    ('install', '安装', 0, null, null),
    ('install.ac', '空调', 0, null, null),
    ('install.ac.wall', '挂机', 140, 260, 0.30),
    ('install.ac.cabinet', '柜机', 70, 380, 0.30),
    ('install.ac.central', '中央空调', 15, 2400, 0.45),
    ('install.washer', '洗衣机', 0, null, null),
    ('install.washer.drum', '滚筒', 60, 120, 0.15),
    ('install.washer.dryer', '烘干机', 20, 160, 0.15),
    ('consult', '咨询', 0, null, null),
    ('consult.video', '视频', 0, null, null),
    ('consult.video.guide', '选购指导', 60, 39, 0),
    ('consult.video.fault', '故障判断', 80, 29, 0),
    ('maintain', '保养', 0, null, null),
    ('maintain.ac', '空调', 0, null, null),
    ('maintain.ac.clean', '清洗', 140, 129, 0.10),
    ('maintain.hood', '油烟机', 0, null, null),
    ('maintain.hood.clean', '清洗', 90, 188, 0.12),
    ('repair', '维修', 0, null, null),
    ('repair.ac', '空调', 0, null, null),
    ('repair.ac.cooling', '不制冷', 90, 180, 0.25),
    ('repair.ac.gas', '加氟', 60, 240, 0.35),
    ('repair.washer', '洗衣机', 0, null, null),
    ('repair.washer.drain', '排水', 60, 110, 0.20),
    ('repair.washer.motor', '电机', 30, 230, 0.45),
    ('repair.fridge', '冰箱', 0, null, null),
    ('repair.fridge.seal', '门封', 40, 95, 0.30),
    ('repair.fridge.compressor', '压缩机', 30, 420, 0.50)) v(path, name, weight, price, parts)) v
WINDOW w AS (ORDER BY number);

-- The quarter: weekends are busy, the first days of October are not, and the
-- November sale fills the calendar.
CREATE TABLE shop.day AS
SELECT row_number() OVER w AS number, day, sale,
       (sum(weight) OVER w - weight) / sum(weight) OVER () AS starts
FROM (SELECT day::date, day::date BETWEEN '2025-11-01' AND '2025-11-12' AS sale
      FROM generate_series(timestamp '2025-10-01', timestamp '2025-12-31', '1 day') day) d
CROSS JOIN LATERAL (
    SELECT CASE WHEN extract(isodow FROM day) > 5 THEN 1.4 ELSE 1 END
         * CASE WHEN day <= '2025-10-04' THEN 0.6 WHEN day = '2025-11-11' THEN 5 WHEN sale THEN 2.2
                WHEN day = '2025-12-12' THEN 2.5 ELSE 1 END::float8) w(weight)
WINDOW w AS (ORDER BY day);

CREATE TABLE shop.channel AS
SELECT row_number() OVER w AS number, code, (sum(weight) OVER w - weight)::float8 / sum(weight) OVER () AS starts
FROM (VALUES ('tmall', 34), ('youzan', 14), ('douyin', 22), ('wecom', 12), ('store', 18)) v(code, weight)
WINDOW w AS (ORDER BY code);

-- A number from 0 up to 1 that depends on the ticket and on what it is drawn for.
CREATE FUNCTION shop.chance(ticket bigint, what int) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(ticket, what) & 1048575)::float8 / 1048576;
ANALYZE shop.day, shop.project, shop.region, shop.channel;
