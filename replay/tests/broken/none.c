/* none.c - no fault: what verify finds in the other files is their fault, not broken.h's. */
#include "broken.h"
