"""Every normative sentence of the Dockerfile reference, in our own words, and its test.

A statement without a test has a reason (it does not apply), or names who has to show it: then it is open.
docs/dockerfile-statements.md is generated: `python -m tests.dockerfile.statements >docs/dockerfile-statements.md`.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class Statement(NamedTuple):
    """Exactly one of the three: `test`, a test function; `reason`, why there is none; `open`, whose behaviour it is."""

    text: str
    test: str = ""
    reason: str = ""
    open: str = ""


def _is(text: str, test: str) -> Statement:
    return Statement(text, "test_" + test)


def _no(text: str, reason: str) -> Statement:
    return Statement(text, reason=reason)


def _open(text: str, owner: str = "") -> Statement:
    return Statement(text, open=owner or _BUILDER)


_BUILDER = "the builder's execution of steps"
_WINDOWS = "Windows only"
_RUNTIME = "about running containers, not about the Dockerfile; tests/engine has it"
_LINES = "continued_lines_are_joined_and_comments_dropped"
_FORMS = "commands_have_a_shell_form_and_an_exec_form"
_WORDS = "a_words_variables_and_quotes_are_replaced"
_REPLACING = "the_instructions_that_replace_variables"
_FAULT = "a_fault_of_an_instruction"
_COPYING = "flags_of_copy_and_add"

SECTIONS: dict[str, tuple[Statement, ...]] = {
    "Format": (
        _is("An instruction's name may be written in any case.", _LINES),
        _is("The first instruction is FROM; only directives, comments and ARG stand before it.", "a_fault_of_the_file"),
        _is("A line that begins with # is a comment unless it is a directive.", "a_file_becomes_arguments_and_stages"),
        _is("A # anywhere else in a line belongs to the argument.", _LINES),
        _is("Comments go before the instructions run, also those between continued lines.", _LINES),
        _is("A continuation character in a comment continues nothing.", _LINES),
        _is("Blanks before comments and instructions do not count.", _LINES),
        _is("Blanks inside of arguments stay.", _LINES),
        _is("Instructions run in the file's order.", "copy_by_docker_s_rules"),
    ),
    "Parser directives": (
        _is("A directive has the form `# name=value`.", "blanks_and_case_of_a_directive_do_not_count"),
        _is("Each one may be there once.", "a_directive_given_twice_is_an_error"),
        _is(
            "After a comment, an empty line or an instruction a directive is only a comment.",
            "a_directive_behind_anything_else_is_a_comment",
        ),
        _is("So it is after a directive that is not known.", "a_directive_behind_anything_else_is_a_comment"),
        _is("Its name may be written in any case, its value not.", "the_check_directive_chooses"),
        _is("Blanks in it do not count.", "blanks_and_case_of_a_directive_do_not_count"),
        _is("It cannot be continued.", "a_directive_behind_anything_else_is_a_comment"),
        _is("syntax names the frontend.", "check_and_syntax_are_found"),
        _is("docker/dockerfile of any version is served without a pull.", "which_frontend_images_are_built_in"),
        _is("escape is a backslash or a backtick, without it a backslash.", "an_escape_character_is_one_of_two"),
        _is("It escapes characters in a line and the line's end.", "the_escape_character_is_the_files"),
        _is("In RUN it only escapes the line's end.", _LINES),
        _is("check=skip leaves out the named checks, or all.", "the_check_directive_chooses"),
        _is("Without it all checks run, and only warn.", "the_check_directive_chooses"),
        _is("check=error=true makes findings an error.", "a_build_argument_replaces_the_directive"),
        _is("A semicolon joins both.", "the_check_directive_chooses"),
    ),
    "Environment replacement": (
        _is("`$name` and `${name}` are the variable's value.", _WORDS),
        _is("`${name:-word}`: word where it is unset or empty.", _WORDS),
        _is("`${name-word}`: word where it is unset.", _WORDS),
        _is("`${name:+word}`: word where it is set and not empty, else nothing.", _WORDS),
        _is("`${name+word}`: word where it is set, else nothing.", _WORDS),
        _is("`${name#pattern}` and `##`: without the shortest, longest beginning that matches.", _WORDS),
        _is("`${name%pattern}` and `%%`: without the shortest, longest end that matches.", _WORDS),
        _is("`${name/pattern/text}` and `//`: the first match, all matches replaced.", _WORDS),
        _is("The word may itself hold variables.", _WORDS),
        _is("In a pattern ? is one character, * any number; a backslash takes them literally.", _WORDS),
        _is("An escaped dollar sign stands for itself.", _WORDS),
        _is("ADD, COPY, EXPOSE, STOPSIGNAL, USER, VOLUME and WORKDIR replace variables.", _REPLACING),
        _is("ENV and LABEL do.", "env_and_label_replace_in_key_and_value"),
        _is("FROM does.", "a_global_argument_is_for_from_and_for_a_declaration_without_default"),
        _is(
            "ONBUILD does with one of these instructions, when it is triggered.",
            "triggers_run_in_order_with_their_variables",
        ),
        _is("RUN, CMD and ENTRYPOINT leave variables to the shell.", "commands_are_left_to_the_shell"),
        _is(
            "All of an instruction sees the values before it.",
            "all_of_an_instruction_sees_the_environment_before_it",
        ),
    ),
    ".dockerignore": (
        _is("Its patterns keep files out of the context.", "patterns"),
        _is(
            "A Dockerfile's own NAME.dockerignore comes before .dockerignore.",
            "a_dockerfiles_own_ignore_file_comes_first",
        ),
        _is("Lines that begin with # are comments; blanks around a pattern do not count.", "lines_are_cleaned"),
        _is("A pattern that begins with ! brings files back; the last that matches decides.", "patterns"),
        _is("** matches any number of folders, also none.", "patterns"),
        _is("A malformed pattern is an error.", "a_malformed_pattern_is_an_error"),
        _is(
            "The Dockerfile and the ignore file are read even where they are ignored.",
            "an_ignore_file_keeps_files_out_of_the_context",
        ),
    ),
    "Shell and exec form": (
        _is("RUN, CMD and ENTRYPOINT have a shell form and an exec form.", _FORMS),
        _is("The exec form is a JSON array, with double quotes.", _FORMS),
        _is("The exec form runs no shell and replaces no variables.", "commands_are_left_to_the_shell"),
        _is("A backslash in it must be escaped, or the text is the shell form.", _FORMS),
        _is("The shell form may go over several lines.", _LINES),
        _is("It may have heredocs.", "what_a_run_executes"),
        _is("SHELL changes the shell of the shell form.", "configuration_instructions"),
    ),
    "FROM": (
        _is("FROM begins a stage and names its base.", "a_file_becomes_arguments_and_stages"),
        _is("Only ARG may stand before it.", "a_fault_of_the_file"),
        _is("It may be there several times.", "stages_name_each_other"),
        _is(
            "Each one begins anew: nothing of the stage before it holds.",
            "a_stage_on_another_one_goes_on_with_its_arguments",
        ),
        _is("AS names the stage.", "a_file_becomes_arguments_and_stages"),
        _is("Later FROM, COPY --from and RUN --mount=from may name it.", "stages_name_each_other"),
        _is(
            "Without tag or digest the tag is latest; a tag that is not found is an error.",
            "a_base_without_a_tag_and_a_command_that_is_not_executed",
        ),
        _is("--platform says for which platform the base is.", "a_file_becomes_arguments_and_stages"),
        _is("Without it, it is the target's platform.", "several_platforms_are_one_name_in_the_store"),
        _is("Global arguments may be used in it.", "platform_arguments_are_global"),
        _is(
            "FROM sees the arguments before the first FROM.",
            "a_global_argument_is_for_from_and_for_a_declaration_without_default",
        ),
        _is(
            "Inside of a stage they count only after ARG without a value.",
            "a_global_argument_is_for_from_and_for_a_declaration_without_default",
        ),
    ),
    "RUN": (
        _is("RUN executes its command and makes a layer.", "arguments_reach_the_command_and_the_cache_s_key"),
        _is(
            "--no-cache invalidates it; ADD and COPY before it do.",
            "equal_builds_use_the_cache_and_give_the_same_image",
        ),
        _is("--device asks for a CDI device, `name[,required]`.", "flags_of_run"),
        _no(
            "The device entitlement is needed for it.",
            "no device is ever registered here: one that is required is missing first (`a_device_that_is_not_there`)",
        ),
        _is("--mount is bind, cache, tmpfs, secret or ssh; without type it is bind.", "a_mounts_options"),
        _is("A bind is read-only without rw.", "a_mounts_options"),
        _is("target, dst and destination are one option; so are source and src.", "a_mounts_options"),
        _is("What is written to a bind with rw is dropped.", "run_mounts"),
        _is("from is a stage, context or image; without it a bind shows the context.", "stages_name_each_other"),
        _is("A cache has id, target, ro, sharing, from, source, mode, uid and gid.", "a_mounts_options"),
        _is("sharing is shared, private or locked.", "a_fault_of_a_mount"),
        _is("A cache's id is its target unless it is given; its mode 0755, owner 0:0.", "a_cache_s_defaults"),
        _is(
            "shared: several writers; private: one more for each; locked: one after the other.",
            "the_sharing_of_a_cache",
        ),
        _is("A cache outlives the build and is not part of the cache's key.", "a_cache_s_defaults"),
        _is("A tmpfs has a target and a size.", "a_mounts_options"),
        _is("A secret has id, target, env, required, mode, uid and gid.", "a_mounts_options"),
        _is(
            "A secret's id is its target's last part unless it is given; its target /run/secrets/ID without env.",
            "a_secret_s_defaults",
        ),
        _is(
            "A secret that is missing is an error only with required; its mode is 0400, owner 0:0.",
            "a_secret_s_defaults",
        ),
        _is("ssh has id, target, required, mode, uid and gid.", "a_mounts_options"),
        _is("ssh's id is default, its target /run/buildkit/ssh_agent.N, its mode 0600.", "an_agent_s_defaults"),
        _is("--network is default, none or host.", "flags_of_run"),
        _is(
            "none leaves only the loopback interface; host needs the network.host entitlement.",
            "networks_and_privileges_of_run",
        ),
        _is("--security is sandbox or insecure.", "flags_of_run"),
        _is("insecure runs privileged, with the security.insecure entitlement.", "networks_and_privileges_of_run"),
    ),
    "CMD": (
        _is("It has the exec and the shell form.", _FORMS),
        _is("Of several the last one counts.", "what_a_stage_hands_on"),
        _is("Several in one stage are reported.", "a_check_speaks"),
        _no("Arguments of `docker run` replace it and leave ENTRYPOINT.", _RUNTIME),
        _is("It is not executed at build time.", "a_base_without_a_tag_and_a_command_that_is_not_executed"),
    ),
    "LABEL": (
        _is("It has one or more `key=value`.", "env_and_label_have_two_forms"),
        _is("Quotes and backslashes keep blanks.", "env_and_label_replace_in_key_and_value"),
        _is("In single quotes no variable is replaced.", "env_and_label_replace_in_key_and_value"),
        _is("Labels of the base stay; the value applied last counts.", "what_a_stage_hands_on"),
        _is("Labels of a stage that is only copied or mounted from do not.", "what_a_stage_hands_on"),
    ),
    "MAINTAINER": (
        _is("It names the author.", "the_other_instructions"),
        _is("It becomes the image's author.", "configuration_instructions"),
        _is("A check advises a label.", "a_check_speaks"),
    ),
    "EXPOSE": (
        _is("It has ports with or without a protocol, tcp without one.", "the_ports_of_expose"),
        _is("Ranges are allowed.", "the_ports_of_expose"),
        _no("It publishes nothing; -p and -P do.", _RUNTIME),
    ),
    "ENV": (
        _is("It sets variables for the instructions after it.", "all_of_an_instruction_sees_the_environment_before_it"),
        _is("Quotes that are not escaped are removed; quotes and backslashes keep blanks.", _WORDS),
        _is("It may set several.", "env_and_label_have_two_forms"),
        _is("They stay in the image, and a stage on this one inherits them.", "what_a_stage_hands_on"),
        _is("`ENV key value` takes the rest of the line as value.", "env_and_label_have_two_forms"),
        _is("A check advises against that form.", "a_check_speaks"),
    ),
    "ADD and COPY": (
        _is("A path with blanks needs the JSON form.", "a_path_with_spaces_needs_the_json_form"),
        _is("The last argument is the destination.", _COPYING),
        _is("ADD: --keep-git-dir, --checksum, --chmod, --chown, --link, --unpack, --exclude.", _COPYING),
        _is("COPY: --from, --chmod, --chown, --link, --parents, --exclude.", _COPYING),
        _is("A flag that is not known is an error.", _FAULT),
        _is("Without a destination there is an error.", _FAULT),
        _no(
            "With several sources the destination ends with a slash.",
            "docker's classic builder demands it; its BuildKit (26.1) makes the last source a file there, and so do we",
        ),
        _is(
            "A source is relative to the context; / and .. before it stay inside.", "a_copy_that_can_t_be_done_says_why"
        ),
        _is("A trailing slash of a source does not count.", "copy_by_docker_s_rules"),
        _is(
            "Of a folder the contents are copied, with metadata, merged into what is there; onto a file it fails.",
            "where_files_and_folders_may_be_copied_to",
        ),
        _is(
            "A file is copied with its metadata; onto a folder of its name it is an error.",
            "where_files_and_folders_may_be_copied_to",
        ),
        _is("A source may have Go's wildcards.", "copy_by_docker_s_rules"),
        _is("A bracket in a source is escaped by `[[]`.", "copy_escapes_and_keeps_folders"),
        _is(
            "A destination with a leading slash is absolute, another one relative to WORKDIR.", "copy_by_docker_s_rules"
        ),
        _is("A trailing slash of the destination makes a folder; missing folders are made.", "copy_by_docker_s_rules"),
        _is(
            "ADD unpacks a local archive (tar, gzip, bzip2, xz, zstd, known by content), joined with what is there.",
            "archives_and_downloads_of_add",
        ),
        _is(
            "--unpack=false keeps an archive, --unpack=true unpacks a downloaded one.", "archives_and_downloads_of_add"
        ),
        _is(
            "ADD downloads a URL: mode 600, mtime from Last-Modified, the name from the path where a slash ends.",
            "archives_and_downloads_of_add",
        ),
        _is("ADD clones a git repository, by branch, tag, commit or folder; files 644 or 755.", "add_of_a_repository"),
        _is("--keep-git-dir keeps .git.", "add_of_a_repository"),
        _is("--checksum is a commit's digest or its beginning, or sha256 of a download.", "add_of_a_repository"),
        _is("--from takes a stage, a named context or an image; its paths begin at that root.", "named_contexts"),
        _is("--from may be a stage's name or number.", "stages_name_each_other"),
        _is("--chmod may hold variables.", _REPLACING),
        _is("--chmod is octal or symbolic.", "copy_by_docker_s_rules"),
        _is(
            "Without --chown files belong to 0:0; a user alone is also the group; names come from the image's files.",
            "copy_by_docker_s_rules",
        ),
        _is("A name that is missing there is an error.", "a_copy_that_can_t_be_done_says_why"),
        _is("With --link only numbers are possible.", "copy_with_link"),
        _is(
            "--link makes a layer that does not depend on the ones below, and follows no links of theirs.",
            "copy_with_link",
        ),
        _is("--parents keeps the folders of a source, from a `./` in it on.", "copy_escapes_and_keeps_folders"),
        _is("With --parents ** matches any number of folders.", "copy_escapes_and_keeps_folders"),
        _is("--exclude leaves out what its patterns match; it may be there several times.", "copy_by_docker_s_rules"),
    ),
    "ENTRYPOINT": (
        _is("It has the exec and the shell form.", _FORMS),
        _is("Of several the last one counts.", "what_a_stage_hands_on"),
        _is("It resets a CMD of the base image.", "configuration_instructions"),
        _no("How CMD, `docker run` and signals meet it.", _RUNTIME),
    ),
    "VOLUME": (
        _is("It has a JSON array or words.", "a_path_with_spaces_needs_the_json_form"),
        _is("A path may not be empty.", _FAULT),
        _is("Later changes below it are kept.", "copy_escapes_and_keeps_folders"),
        _no("A new volume gets the image's content.", _RUNTIME),
        _is("It names no folder of the host.", "a_path_with_spaces_needs_the_json_form"),
    ),
    "USER": (
        _is("It has a user and possibly a group, by name or number.", "the_other_instructions"),
        _is(
            "It holds for RUN, CMD and ENTRYPOINT after it, with that group alone.",
            "users_and_folders_hold_from_their_line_on",
        ),
        _is("Without a primary group the group is root.", "users_and_folders_hold_from_their_line_on"),
    ),
    "WORKDIR": (
        _is(
            "It holds for RUN, CMD, ENTRYPOINT, COPY and ADD after it, and is made where it is missing.",
            "users_and_folders_hold_from_their_line_on",
        ),
        _is("A relative one is below the one before it; the first is /.", "configuration_instructions"),
        _is("Variables of ENV and ARG are replaced in it.", _REPLACING),
        _no(
            "A variable that is not set stays as it is written.",
            "BuildKit replaces it by nothing, as in every other instruction; so do we",
        ),
        _is("A relative one without an absolute one before it is reported.", "a_check_speaks"),
    ),
    "ARG": (
        _is(
            "It declares what --build-arg may set, with or without a default.",
            "an_arguments_default_gives_way_to_a_build_argument",
        ),
        _is("It may declare several.", "the_other_instructions"),
        _is("The default counts where no value is given.", "an_arguments_default_gives_way_to_a_build_argument"),
        _is("It counts from its line on.", "an_argument_counts_from_its_line_on"),
        _is("A stage on this one inherits it, others do not.", "a_stage_on_another_one_goes_on_with_its_arguments"),
        _is("ENV after it overrides it.", "env_overrides_an_argument_of_the_same_name"),
        _is("It is in RUN's environment and not in the image.", "arguments_reach_the_command_and_the_cache_s_key"),
        _is("A name that looks like a secret is reported.", "a_check_speaks"),
        _is("The proxies are predefined, in both cases.", "proxies_are_for_run_alone"),
        _is("They are not in the history unless ARG declares them.", "proxies_are_for_run_alone"),
        _is("They are not part of the cache's key unless ARG declares them.", "which_arguments_are_in_a_step_s_key"),
        _is("TARGETPLATFORM, TARGETOS and so on are predefined in the global scope.", "platform_arguments_are_global"),
        _is("BUILDKIT_* and SOURCE_DATE_EPOCH steer the build.", "arguments_that_steer_the_build"),
        _is(
            "A changed value invalidates the cache at its first use, in RUN also without one.",
            "which_arguments_are_in_a_step_s_key",
        ),
    ),
    "ONBUILD": (
        _is("It keeps an instruction for builds on this image.", "the_other_instructions"),
        _is("It runs in a build on this image, and only in that one.", "configuration_instructions"),
        _is(
            "Triggers run right after FROM, in the order of registration.", "triggers_run_in_order_with_their_variables"
        ),
        _is("A trigger that fails fails the build.", "triggers_run_in_order_with_their_variables"),
        _is("A trigger is one instruction; its faults are FROM's.", "a_trigger_is_one_instruction_at_the_froms_lines"),
        _is(
            "Its COPY --from and RUN --mount=from name stages of the build that it runs in.",
            "a_trigger_may_name_a_stage_that_nothing_else_needs",
        ),
        _is("ONBUILD ONBUILD is an error.", _FAULT),
        _is("ONBUILD FROM and ONBUILD MAINTAINER are errors.", _FAULT),
    ),
    "STOPSIGNAL": (
        _is("It is a name or a number.", "the_other_instructions"),
        _is("A signal that is not known is an error.", "a_signal_that_is_not_known"),
        _no("It is what `docker stop` sends.", _RUNTIME),
    ),
    "HEALTHCHECK": (
        _is("It has CMD with options, or NONE.", "a_healthcheck_has_its_options"),
        _is("Options: interval, timeout, start-period, start-interval, retries.", "a_healthcheck_has_its_options"),
        _is("A time below a millisecond or a negative number is an error.", _FAULT),
        _is("Its command has the shell and the exec form.", "a_healthcheck_has_its_options"),
        _is("Of several the last one counts.", "what_a_stage_hands_on"),
        _no("When checks run and what they change.", _RUNTIME),
    ),
    "SHELL": (
        _is("It is a JSON array.", _FAULT),
        _is(
            "It holds for the shell form of RUN, CMD and ENTRYPOINT after it; the last one counts.",
            "what_a_stage_hands_on",
        ),
        _no("The default on Windows.", _WINDOWS),
    ),
    "Here-documents": (
        _is("RUN, COPY and ADD take the lines up to the delimiter.", "a_heredocs_body_belongs_to_its_instruction"),
        _is("A delimiter that is missing is an error.", "a_fault_of_the_file"),
        _is("There may be several.", "several_heredocs_and_descriptors"),
        _is("A RUN that is only a heredoc executes it with the shell.", "what_a_run_executes"),
        _is("With #! its interpreter executes it.", "what_a_run_executes"),
        _is("In COPY it becomes a file of its name's content.", "copy_takes_heredocs_as_files"),
        _is(
            "Variables are replaced in it unless a part of the delimiter is quoted.",
            "a_heredocs_body_is_replaced_unless_its_name_is_quoted",
        ),
        _is("With <<- leading tabs go.", "several_heredocs_and_descriptors"),
    ),
}


def document() -> str:
    """docs/dockerfile-statements.md."""
    everything = [one for statements in SECTIONS.values() for one in statements]
    shown, left = sum(bool(one.test) for one in everything), sum(bool(one.open) for one in everything)
    lines = [
        "# What the Dockerfile reference says, and the test that holds us to it",
        "",
        "In our own words, by the reference's sections (frontend 1.20). Made from tests/dockerfile/statements.py; a",
        "test compares the two, and the names with the tests that are there.",
        f"Of {len(everything)} statements {shown} have a test, {left} are open: no test shows them yet.",
    ]
    for section, statements in SECTIONS.items():
        lines += ["", f"## {section}", "", "| statement | test |", "|---|---|"]
        for one in statements:
            last = f"`{one.test}`" if one.test else f"open: {one.open}" if one.open else f"does not apply: {one.reason}"
            lines.append(f"| {one.text.replace('|', chr(92) + '|')} | {last} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
