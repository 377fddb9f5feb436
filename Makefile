# scrm_settle: settlement of ticket tables inside PostgreSQL.
#
# ROOMS is the plan of the house.  A room uses only the rooms before it, and its
# one word runs through src/<room>/, sql/<room>.sql, expected/<room>.out,
# test/pgtap/<room>.sql and docs/<room>.md.  The list gives the order in which
# the install script is assembled and in which the golden tests run.
ROOMS = core amount tier matrix expr rule book settle report

EXTENSION    = scrm_settle
EXTVERSION   = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big   = $(EXTENSION)
OBJS         = $(sort $(patsubst %.c,%.o,$(wildcard $(ROOMS:%=src/%/*.c))))
INSTALL_SQL  = $(EXTENSION)--$(EXTVERSION).sql
DATA_built   = $(INSTALL_SQL)

# Golden transcripts: one a room, then whole stories.
STORIES      = quickstart
REGRESS      = $(filter $(notdir $(basename $(wildcard sql/*.sql))),$(ROOMS) $(STORIES))
REGRESS_OPTS = --encoding=UTF8

PG_CPPFLAGS  = -Isrc
PG_CFLAGS    = -O2 -Wno-declaration-after-statement -fvisibility=hidden
EXTRA_CLEAN  = results regression.diffs regression.out output_iso

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(INSTALL_SQL): $(wildcard $(ROOMS:%=src/%/*.sql)) $(EXTENSION).control Makefile
	cat $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.sql)) > $@

# PGXS knows no header dependencies; every object is rebuilt when a header changes.
$(OBJS): $(wildcard src/*/*.h)
