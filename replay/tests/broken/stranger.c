/* stranger.c - a library that is no allocator. */
int heaplay_stranger(void);

__attribute__((visibility("default"))) int heaplay_stranger(void) { return 1; }
