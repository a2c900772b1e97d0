/* environment.h - the fingerprint of the machine a result comes from. Called by result/document.c. */
#ifndef HP_ENVIRONMENT_H
#define HP_ENVIRONMENT_H

#include <jansson.h>

json_t *hp_environment_json(void);

#endif
