# scrm_settle: settlement of ticket tables inside PostgreSQL.
#
# ROOMS is the plan of the house.  A room uses only the rooms before it, and its
# one word runs through src/<room>/, sql/<room>.sql, expected/<room>.out,
# test/pgtap/<room>.sql and docs/<room>.md.  The list gives the order in which
# the install script is assembled and in which the golden tests run.
ROOMS = core amount tier matrix geo expr rule book outbox settle statement desk connect customer order report job

EXTENSION    = scrm_settle
EXTVERSION   = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
MODULE_big   = $(EXTENSION)
OBJS         = $(sort $(patsubst %.c,%.o,$(wildcard $(ROOMS:%=src/%/*.c))))
INSTALL_SQL  = $(EXTENSION)--$(EXTVERSION).sql

# Versions that were released: their install scripts, and from each the upgrade
# script to the next.  The one to the version in work is assembled.
LAST         = $(shell ls versions/$(EXTENSION)--*.sql 2>/dev/null | sed 's/.*$(EXTENSION)--//; s/\.sql$$//' | grep -vx -e '.*--.*' -e '$(EXTVERSION)' | sort -V | tail -n 1)
FROZEN       = $(wildcard versions/$(EXTENSION)--*--*.sql)
UPGRADE_SQL  = $(if $(LAST),$(filter-out $(notdir $(FROZEN)),$(EXTENSION)--$(LAST)--$(EXTVERSION).sql))
DATA         = $(FROZEN)
DATA_built   = $(INSTALL_SQL) $(UPGRADE_SQL)

# Golden transcripts: the README's statements on a bare database, then one a room.
REGRESS      := $(filter $(notdir $(basename $(wildcard sql/*.sql))),quickstart start repair school clinic tables $(ROOMS))
REGRESS_OPTS = --encoding=UTF8 --outputdir=build/regress
REGRESS_PREP = build

# Several sessions at once.
ISOLATION      := $(notdir $(basename $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=build/isolation \
	--load-extension=ltree --load-extension=btree_gist --load-extension=$(EXTENSION)

PG_CPPFLAGS  = -Isrc -DSETTLE_VERSION='"$(EXTVERSION)"'
PG_CFLAGS    = -O2 -Wno-declaration-after-statement -fvisibility=hidden

#: make                build against the PostgreSQL of PG_CONFIG
#: make install        install there
#: make installcheck   golden and isolation tests on a server that has it installed
#: make check          the whole test suite on a private server, see test/README.md
#: make check-long     what takes longer: copies and upgrades, crashes, sanitizers, mutants; TESTS=backup names some, see test/README.md
#: make check-report   the page of a private server's books, in a browser
#: make check-bi       books in BI tools' drivers and in a spreadsheet, see docs/bi.md
#: make demo           a chain's quarter of tickets, settled on a private server
#: make demo-stop      end that server and remove its files
#: make report         the page of a book of your database: BOOK=name FILE=page.html, see docs/report/README.md
#: make bench          figures on a million tickets against peers, into docs/performance.md: PARTS='match settle' names some, see test/bench/bench.sh
#: make bench-instructions   instructions of the hot paths, counted anew into test/bench/instructions
#: make bench-close    figures of seals, closing periods, statements, looking ahead
#: make bench-connect  what ingesting payloads costs, against an INSERT by hand
#: make bench-commit   what settling costs whoever writes a ticket
#: make bench-desk     what the desk costs while people work, and settling beside it
#: make bench-report   what reports cost, whatever the number of tickets
#: make vectors        numeric facts of others: DIR=folder, see test/vectors/README.md
#: make payloads       payloads of platforms: DIR=folder, see test/payloads/README.md
#: make fuzz           hostile input, each part for SECONDS=60; PARTS='calls parsers' names some, see test/fuzz/run
#: make freeze         keeps the scripts of this version in versions/, for its release
#: make dist           build/scrm_settle-VERSION.zip of HEAD, its META.json with the version
#: make clean          remove everything built; a running demo stays
#: make help           this list
PRIVATE      = check check-long demo demo-stop bench-instructions bench bench-close bench-connect bench-commit bench-desk bench-report report check-report check-bi vectors payloads fuzz stage dist help
PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(filter $(PRIVATE),$(MAKECMDGOALS)),)
# These targets bring a private server, and root on a bare Debian gets PostgreSQL
# itself: they are read without PGXS, which has a "check" that only refuses.
.PHONY: $(PRIVATE)

check-long: stage
	@test/long/run $(TESTS)
check: stage
	@test/packages check
	@test/check
demo: stage
	@test/demo/run
demo-stop:
	@test/cluster stop demo
bench: stage
	@test/bench/run
bench-instructions: stage
	@test/packages check
	@test/bench/count write
bench-close: stage
	@test/bench/run close
bench-connect: stage
	@test/bench/run connect
bench-commit: stage
	@test/bench/run commit
bench-desk: stage
	@test/bench/run desk
bench-report: stage
	@test/bench/run report

report:
	@src/report/page/report '$(BOOK)' '$(FILE)'
check-report: stage
	@test/report/check
check-bi: stage
	@test/bi/run

stage:
	@test/packages
	@rm -rf build/stage
	@echo 'Building ...'
	@$(MAKE) -s -j$$(nproc) install DESTDIR='$(CURDIR)/build/stage'

dist:
	@mkdir -p build
	@sed 's/@VERSION@/$(EXTVERSION)/' META.json >build/META.json
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ --add-file=build/META.json \
		-o build/$(EXTENSION)-$(EXTVERSION).zip HEAD
help:
	@sed -n 's/^#: //p' Makefile

# make clean check
$(filter-out $(PRIVATE),$(MAKECMDGOALS)):
	@$(MAKE) $@

else ifeq ($(wildcard $(PGXS)),)
$(error "$(PG_CONFIG) --pgxs" names no file: install postgresql-server-dev-15, or say make PG_CONFIG=/path/to/pg_config)
else
include $(PGXS)

$(INSTALL_SQL): $(wildcard $(ROOMS:%=src/%/*.sql)) $(EXTENSION).control Makefile
	cat $(foreach room,$(ROOMS),$(wildcard src/$(room)/*.sql)) > $@

$(EXTENSION)--$(LAST)--$(EXTVERSION).sql: $(INSTALL_SQL) $(wildcard versions/*)
	versions/edge versions/$(EXTENSION)--$(LAST).sql $(INSTALL_SQL) $(wildcard versions/$(LAST)--$(EXTVERSION).sql) > $@

.PHONY: freeze
freeze: $(INSTALL_SQL) $(UPGRADE_SQL)
	cp $^ versions/

src/core/version.o src/core/version.bc: $(EXTENSION).control

# PGXS knows no header dependencies; every object is rebuilt when a header changes.
$(OBJS): $(wildcard src/*/*.h)

build:
	mkdir -p $@

.PHONY: clean-build
clean: clean-build
clean-build:
	@test/cluster clean
endif

# Vectors, payloads and fuzzing, on private servers like the targets above.
ifneq ($(filter vectors payloads fuzz,$(MAKECMDGOALS)),)
vectors: stage
	@test/vectors/run '$(DIR)'
payloads: stage
	@test/payloads/run '$(DIR)'
fuzz: stage
	@test/packages fuzz
	@test/fuzz/run '$(or $(SECONDS),60)' $(PARTS)
endif
