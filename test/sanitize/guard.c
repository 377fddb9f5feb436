/*
 * guard.c: memory contexts of which each chunk is a malloc of its own.
 *
 * Compiled into builds for a sanitizer, see guard.h.  A chunk that grows moves, and
 * one that goes is freed at once, so that whoever keeps an old pointer is found.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/memnodes.h"
#include "utils/memutils.h"

typedef struct Chunk
{
	struct Chunk *previous;
	struct Chunk *next;
	Size		size;
	MemoryContext context;		/* the server looks for it right before the data */
} Chunk;

typedef struct Guard
{
	MemoryContextData header;
	Chunk		chunks;			/* the head of the ring of chunks */
} Guard;

#define chunk_of(p)	((Chunk *) (p) - 1)

static const MemoryContextMethods guard_methods;

/* Allocates a chunk. */
static void *
guard_alloc(MemoryContext context, Size size)
{
	Guard	   *guard = (Guard *) context;
	Chunk	   *chunk = malloc(sizeof(Chunk) + size);

	if (chunk == NULL)
		return NULL;
	chunk->size = size;
	chunk->context = context;
	chunk->previous = &guard->chunks;
	chunk->next = guard->chunks.next;
	chunk->next->previous = chunk->previous->next = chunk;
	context->mem_allocated += size;
	return chunk + 1;
}

/* Frees a chunk. */
static void
guard_free(MemoryContext context, void *pointer)
{
	Chunk	   *chunk = chunk_of(pointer);

	chunk->previous->next = chunk->next;
	chunk->next->previous = chunk->previous;
	context->mem_allocated -= chunk->size;
	free(chunk);
}

/* Moves a chunk to one of another size. */
static void *
guard_realloc(MemoryContext context, void *pointer, Size size)
{
	void	   *moved = guard_alloc(context, size);

	if (moved == NULL)
		return NULL;
	memcpy(moved, pointer, Min(size, chunk_of(pointer)->size));
	guard_free(context, pointer);
	return moved;
}

/* Frees all chunks. */
static void
guard_reset(MemoryContext context)
{
	Guard	   *guard = (Guard *) context;

	while (guard->chunks.next != &guard->chunks)
		guard_free(context, guard->chunks.next + 1);
}

/* Frees the context with all its chunks. */
static void
guard_delete(MemoryContext context)
{
	guard_reset(context);
	free(context);
}

static Size
guard_space(MemoryContext context, void *pointer)
{
	return sizeof(Chunk) + chunk_of(pointer)->size;
}

static bool
guard_is_empty(MemoryContext context)
{
	return ((Guard *) context)->chunks.next == &((Guard *) context)->chunks;
}

static void
guard_stats(MemoryContext context, MemoryStatsPrintFunc print, void *passthru, MemoryContextCounters *totals, bool to_stderr)
{
	if (totals != NULL)
	{
		totals->nblocks++;
		totals->totalspace += context->mem_allocated;
	}
}

#ifdef MEMORY_CONTEXT_CHECKING
static void
guard_check(MemoryContext context)
{
}
#endif

static const MemoryContextMethods guard_methods = {
	guard_alloc, guard_free, guard_realloc, guard_reset, guard_delete, guard_space, guard_is_empty, guard_stats,
#ifdef MEMORY_CONTEXT_CHECKING
	guard_check,
#endif
};

/* Returns the guard of a context, its child, which is made at the first call. */
MemoryContext
settle_guard(MemoryContext context)
{
	Guard	   *guard;

	if (context->methods == &guard_methods)
		return context;
	for (MemoryContext child = context->firstchild; child != NULL; child = child->nextchild)
		if (child->methods == &guard_methods)
			return child;
	guard = malloc(sizeof(Guard));
	if (guard == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	guard->chunks.previous = guard->chunks.next = &guard->chunks;
	MemoryContextCreate(&guard->header, T_AllocSetContext, &guard_methods, context, "guard");
	return &guard->header;
}

/* Returns the context that a guard stands for. */
MemoryContext
settle_guarded(MemoryContext context)
{
	return context->methods == &guard_methods ? context->parent : context;
}

/* Moves a string of the server to a chunk of its own. */
char *
settle_guard_string(char *string)
{
	char	   *copy = MemoryContextStrdup(settle_guard(CurrentMemoryContext), string);

	pfree(string);
	return copy;
}

/* Makes the buffer of a string that grows. */
void
settle_guard_buffer(StringInfo buffer)
{
	buffer->maxlen = 1024;
	buffer->data = MemoryContextAlloc(settle_guard(CurrentMemoryContext), buffer->maxlen);
	resetStringInfo(buffer);
}

/* Copies a value, which may lie in a page of a table, to a chunk of its own. */
struct varlena *
settle_guard_value(struct varlena *value)
{
	Size		size = VARSIZE_ANY(value);

	return memcpy(MemoryContextAllocHuge(settle_guard(CurrentMemoryContext), size), value, size);
}
