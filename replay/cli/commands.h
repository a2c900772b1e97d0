/* commands.h - the subcommands of heaplay; each lives in cli/cmd_NAME.c. argv[0] is the subcommand's name. */
#ifndef HP_COMMANDS_H
#define HP_COMMANDS_H

/* Exit codes, the same for every subcommand. */
enum hp_exit {
    HP_EXIT_OK = 0,
    HP_EXIT_FAILED = 1,         /* a check or a comparison failed */
    HP_EXIT_USAGE = 2,
    HP_EXIT_BAD_INPUT = 3,      /* bad trace or input file */
    HP_EXIT_BAD_ALLOCATOR = 4,  /* wrong or misbehaving allocator */
};

int hp_cmd_record(int argc, char **argv);
int hp_cmd_replay(int argc, char **argv);
int hp_cmd_verify(int argc, char **argv);
int hp_cmd_list(int argc, char **argv);
int hp_cmd_info(int argc, char **argv);
int hp_cmd_check(int argc, char **argv);
int hp_cmd_cat(int argc, char **argv);
int hp_cmd_generate(int argc, char **argv);
int hp_cmd_import(int argc, char **argv);
int hp_cmd_export(int argc, char **argv);
int hp_cmd_slice(int argc, char **argv);    /* slice, head, tail */
int hp_cmd_merge(int argc, char **argv);
int hp_cmd_anonymize(int argc, char **argv);
int hp_cmd_diff(int argc, char **argv);
int hp_cmd_fit(int argc, char **argv);
int hp_cmd_script(int argc, char **argv);   /* bench, report, compare, advise: scripts/NAME.py takes over */

#endif
