"""Every normative statement of the OCI runtime specification 1.2 (config, config-linux, runtime.md), and its test.

In our own words. A statement is a sentence of the specification with MUST, SHOULD, REQUIRED or their opposites. If it
does not apply on Linux or not to a runtime, it has a reason instead of a test. docs/runtime-statements.md is generated
from this: `python -m tests.runtime.statements >docs/runtime-statements.md`.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class Statement(NamedTuple):
    """`test`: the test function that checks it, or "" with the `reason` why there is none."""

    text: str
    test: str
    reason: str = ""


def _no(text: str, reason: str) -> Statement:
    return Statement(text, "", reason)


def _is(text: str, test: str) -> Statement:
    return Statement(text, "test_" + test)


_WINDOWS = "Windows only"
_AUTHOR = "a requirement for the author of the document, not for a runtime"
_ABSENT = "this project does not have it: refused, never ignored"

SECTIONS: dict[str, tuple[Statement, ...]] = {
    "config.md, Specification version": (
        _is("The version is a semantic version.", "a_version_that_is_not_semantic_is_an_error"),
        _is(
            "It names a version of the specification; within a major number they are compatible.",
            "every_version_of_the_major_number_is_taken_and_no_other",
        ),
    ),
    "config.md, Root": (
        _is("Everywhere but on Windows a root is required.", "a_container_without_a_root_is_an_error"),
        _no("With Hyper-V there is none; on Windows its path is a volume's GUID.", _WINDOWS),
        _is("Its path is absolute, or below the bundle.", "the_roots_path_is_absolute_or_below_the_bundle"),
        _no("It should be called rootfs.", _AUTHOR),
        _is("A folder exists at that path.", "the_roots_folder_must_exist"),
        _is("With readonly it can't be written from inside.", "a_read_only_root_refuses_writes_and_its_mounts_do_not"),
        _is("readonly is false by default.", "a_root_is_writable_unless_it_is_to_be_read_only"),
    ),
    "config.md, Mounts": (
        _is("Mounts are made in the order of the list.", "mounts_are_made_in_the_order_of_the_list"),
        _is(
            "A destination should be absolute; a relative one begins at the root.",
            "a_relative_destination_is_below_the_root",
        ),
        _no("Destinations are not nested, ro is supported.", _WINDOWS),
        _is("A bind's source is absolute or below the bundle.", "a_binds_source_is_absolute_or_below_the_bundle"),
        _is(
            "A mount is a bind where bind or rbind is among its options.",
            "bind_or_rbind_makes_a_bind_mount_whatever_the_type",
        ),
    ),
    "config.md, Linux mount options": (
        _is("The options marked MUST work.", "a_mount_option_that_must_be_there_works"),
        _is("The recursive options, marked SHOULD, work.", "a_recursive_mount_option_works"),
        _is("The options of propagation work.", "propagation_options_set_the_mounts_propagation"),
        _is("remount works.", "remount_changes_the_flags_of_what_is_mounted"),
        _is("bind and rbind work.", "binds_follow_their_options"),
        _is("tmpcopyup (MAY) copies what was below.", "copy_up_fills_a_tmpfs_with_what_lay_below"),
        _is(
            "idmap and ridmap apply an id mapping, by mount_setattr(2).",
            "an_idmapped_mount_shows_other_owners_and_changes_none",
        ),
        _is("A mapping of the mount's own is the one that is used.", "mappings_of_a_mount_beat_the_containers"),
        _is(
            "Without one the container's user namespace has it, or there is an error.",
            "idmap_alone_means_the_containers_own_mapping",
        ),
        _is("Without any mapping at all idmap is an error.", "idmap_without_any_mapping_is_an_error"),
        _is("ridmap is recursive.", "ridmap_reaches_the_mounts_below_and_idmap_does_not"),
        _is("Unknown options go to the file system.", "options_of_the_file_system_are_handed_to_it"),
        _no(
            "Options beyond the table should do what mount(8) says.",
            "none is implemented beyond the table; see features",
        ),
    ),
    "config.md, POSIX-platform Mounts": (
        _is("The type is a file system that the kernel has.", "the_type_is_a_file_system_of_the_kernel_or_an_error"),
        _is("uidMappings and gidMappings come together.", "mappings_of_users_and_groups_come_together"),
        _no("Where they are given, idmap or ridmap should be among the options.", _AUTHOR),
    ),
    "config.md, Process": (
        _is("A process is required when start is called.", "a_specification_without_a_process_is_refused"),
        _is("With terminal a pseudoterminal is the standard streams.", "a_terminal_is_the_three_standard_streams"),
        _is("terminal is false by default.", "there_is_no_terminal_unless_it_is_asked_for"),
        _is("consoleSize is ignored without a terminal.", "the_console_size_is_ignored_without_a_terminal"),
        _is("consoleSize is the terminal's size.", "the_console_size_is_the_terminals"),
        _is("cwd is required and absolute.", "the_working_folder_must_be_absolute"),
        _is("cwd is where the program begins.", "the_command_begins_in_its_working_folder"),
        _is("env is the environment, with environ's meaning.", "the_environment_is_what_is_given"),
        _is("args has one entry at least.", "at_least_one_argument_is_needed"),
        _is("args[0] has the meaning of execvp's file.", "the_command_is_searched_in_the_path_as_execvp_does"),
        _no("commandLine.", _WINDOWS),
    ),
    "config.md, POSIX process": (
        _is(
            "A limit without an interface of the kernel is an error.",
            "a_limit_that_the_kernel_does_not_know_is_an_error",
        ),
        _is("getrlimit(3) of each type succeeds.", "every_limit_of_the_kernel_is_known"),
        _is("The soft limit is the value given.", "the_soft_limit_is_what_is_given"),
        _is("The hard limit is the value given.", "the_hard_limit_is_what_is_given"),
        _is("A type given twice is an error.", "a_limit_given_twice_is_an_error"),
    ),
    "config.md, Linux Process": (
        _is("apparmorProfile is the process's profile.", "an_apparmor_profile_is_refused"),
        _is(
            "A capability that can't be mapped or granted is logged as a warning.",
            "a_capability_that_is_none_is_a_warning",
        ),
        _is(
            "A capability that can't be granted should be no failure.",
            "a_capability_that_cannot_be_granted_is_no_failure",
        ),
        _is("Each of the five sets is what is given.", "each_capability_set_is_what_is_given"),
        _is("noNewPrivileges stops any gain of privileges.", "no_new_privileges_stops_setuid_programs"),
        _is("oomScoreAdj is set when it is given.", "the_oom_score_is_what_is_given"),
        _is("oom_score_adj is not touched when it is not given.", "the_oom_score_stays_when_nothing_is_given"),
        _is(
            "scheduler: policy is required; nice, priority, runtime, deadline, period are 0 by default.",
            "the_scheduler_is_what_is_given_and_unset_values_are_zero",
        ),
        _is("scheduler: flags are set.", "scheduler_flags_are_set"),
        _is("scheduler: values that can't be are errors.", "a_scheduler_that_cannot_be_is_an_error"),
        _is("selinuxLabel is the process's label.", "an_selinux_label_is_refused"),
        _is("ioPriority: class and priority are set.", "the_io_priority_is_what_is_given"),
        _is("ioPriority: values that can't be are errors.", "an_io_priority_that_is_none_is_an_error"),
        _is("execCPUAffinity is the affinity of an exec.", "an_exec_runs_on_the_cpus_that_are_given"),
    ),
    "config.md, User": (
        _is("uid is required: the user.", "the_user_is_who_is_given"),
        _is("gid is required: the group.", "the_group_is_what_is_given"),
        _is("umask is the umask.", "the_umask_is_what_is_given"),
        _is(
            "Without one the caller's should stay (a small should; runc and we set 0022).",
            "the_umask_is_an_ordinary_one_when_none_is_given",
        ),
        _is("additionalGids are added.", "additional_groups_are_the_processs_own"),
        _no("username.", _WINDOWS),
    ),
    "config.md, Hostname": (
        _is("hostname is what processes inside see.", "the_hostname_is_the_containers_own"),
        _is("It is that of the container's namespace.", "a_hostname_without_a_uts_namespace_is_an_error"),
    ),
    "config.md, Domainname": (_is("domainname is what processes inside see.", "the_domainname_is_the_containers_own"),),
    "config.md, Platform-specific configuration": (
        _no("linux may be there on Linux; windows, solaris, zos, freebsd are there on theirs.", _AUTHOR),
        _is("vm may be there where virtual machines can be made.", "a_virtual_machine_is_refused"),
    ),
    "config.md, POSIX-platform Hooks": (
        _is("path is absolute.", "a_hooks_path_must_be_absolute"),
        _is("args have execv's meaning.", "a_hooks_args_are_its_argv"),
        _is("env has environ's meaning.", "a_hooks_environment_is_only_what_is_given"),
        _is(
            "env is optional: without it a hook inherits the runtime's environment; an empty list is empty.",
            "a_hook_without_an_environment_has_the_runtimes_and_an_empty_one_has_none",
        ),
        _is("timeout is when a hook is aborted.", "a_hook_past_its_timeout_is_aborted"),
        _is("timeout is greater than zero.", "a_timeout_is_greater_than_zero"),
        _is("Hooks are called in the order of the list.", "hooks_run_in_the_order_of_the_list_and_of_the_lifecycle"),
        _is("The container's state is on their stdin.", "a_hook_reads_the_containers_state"),
    ),
    "config.md, prestart": (
        _is(
            "They are called when the environment is made and the program has not run.",
            "prestart_hooks_find_the_containers_namespaces_made",
        ),
    ),
    "config.md, Hooks: namespaces": (
        _is(
            "prestart, createRuntime, poststart, poststop run in the runtime's namespace.",
            "a_hook_of_the_runtime_runs_in_the_runtimes_namespaces",
        ),
        _is("All paths but startContainer's are the host's.", "a_hooks_path_is_the_hosts"),
        _is(
            "createContainer hooks run in the container's namespace, before its root is changed.",
            "create_container_hooks_run_in_the_containers_namespaces_before_the_root_is_changed",
        ),
        _is(
            "createContainer hooks begin in the container's root, with the umask of the runtime's caller (as runc's).",
            "create_container_hooks_begin_in_the_root_that_is_to_be",
        ),
        _is(
            "So they do with a user namespace.",
            "create_container_hooks_begin_in_the_root_of_a_user_namespace_too",
        ),
        _is(
            "startContainer hooks run in the container's namespace and are found there.",
            "start_container_hooks_run_in_the_container_and_their_path_is_its_own",
        ),
        _is(
            "startContainer hooks have the rights of the program and no more.",
            "start_container_hooks_have_the_rights_of_the_command_and_no_more",
        ),
        _is(
            "A filter that refuses what only the runtime calls does not hinder them.",
            "start_container_hooks_run_under_a_filter_that_refuses_what_only_the_runtime_needs",
        ),
        _is(
            "startContainer hooks are called in start, before the program.",
            "start_container_hooks_run_after_start_is_called",
        ),
    ),
    "config.md, Annotations": (
        _is(
            "Annotations are a map of strings; a key is not empty.",
            "annotations_are_strings_by_keys_that_are_not_empty",
        ),
        _is(
            "An unknown key is no error; a value may be empty.",
            "unknown_annotations_are_no_error_and_values_may_be_empty",
        ),
        _is("They may be absent, or an empty map.", "annotations_may_be_absent_or_empty"),
        _no("Keys should be in reverse domain notation; org.opencontainers is reserved.", _AUTHOR),
    ),
    "config.md, Extensibility": (
        _is("Unknown properties are ignored and no error.", "unknown_properties_are_ignored"),
    ),
    "config.md, Valid values": (
        _is("Invalid or unsupported values are errors.", "a_value_that_is_not_supported_is_an_error"),
        _is("So is a kind of hook that is not known.", "a_kind_of_hook_that_is_not_known_is_an_error"),
    ),
    "config-linux.md, Default Filesystems": (
        _is("/proc, /sys, /dev/pts, /dev/shm should be there.", "the_file_systems_that_programs_expect_are_there"),
    ),
    "config-linux.md, Namespaces": (
        _is("pid, network, mount, ipc, uts, cgroup, time should be supported.", "a_namespace_that_is_listed_is_new"),
        _is("user should be supported.", "a_user_namespace_that_is_listed_is_new"),
        _is("type is required and known.", "an_unknown_namespace_is_an_error"),
        _is("path is absolute, in the runtime's mount namespace.", "a_namespaces_path_is_absolute"),
        _is("With path the process is put into that namespace.", "a_namespace_with_a_path_is_joined"),
        _is("A user namespace is joined too.", "exec_and_another_container_join_a_user_namespace"),
        _is("A path of another type is an error.", "a_path_of_another_kind_is_an_error"),
        _is("Without path a new one is made.", "every_namespace_is_its_own"),
        _is("A type not listed is the runtime's own namespace.", "a_namespace_that_is_not_listed_is_the_runtimes"),
        _is("A type listed twice is an error.", "a_namespace_listed_twice_is_an_error"),
    ),
    "config-linux.md, User namespace mappings": (
        _is("uidMappings map users.", "users_are_mapped_as_given"),
        _is("gidMappings map groups.", "groups_are_mapped_as_given"),
        _is("containerID, hostID, size are required.", "a_mapping_without_one_of_its_numbers_is_an_error"),
        _is("Owners of files should not be changed for it.", "the_owners_of_the_root_are_not_changed"),
    ),
    "config-linux.md, Offset for Time Namespace": (
        _is("timeOffsets set secs and nanosecs of a clock.", "a_time_namespace_has_its_offsets"),
        _is("The key is a clock that has an offset.", "a_clock_that_has_no_offset_is_an_error"),
    ),
    "config-linux.md, Devices": (
        _is("Listed devices are available, wherever.", "listed_devices_are_there_anywhere_in_the_file_system"),
        _is("type is required: c, b, u, p.", "a_device_of_an_unknown_type_is_an_error"),
        _is("Another file at the path is an error.", "another_file_at_a_devices_path_is_an_error"),
        _is("fileMode is its mode.", "a_device_has_the_mode_that_is_given"),
        _is("uid and gid are its owner.", "a_device_has_the_owner_that_is_given"),
        _no("The same numbers should not be used twice.", _AUTHOR),
        _is("What is not listed can't be accessed.", "a_device_that_is_not_listed_cannot_be_used"),
    ),
    "config-linux.md, Default Devices": (
        _is("null, zero, full, random, urandom, tty are supplied.", "a_default_device_is_there_and_works"),
        _is("console is the terminal.", "the_console_is_the_terminal_where_there_is_one"),
        _is("ptmx is the container's /dev/pts/ptmx.", "ptmx_is_the_containers_own"),
        _is("fd, stdin, stdout, stderr are links (runtime-linux.md).", "the_links_of_dev_are_there"),
    ),
    "config-linux.md, Control groups": (
        _is("The process is in the container's cgroups.", "the_process_is_in_every_controllers_cgroup"),
        _no("A check of the cgroup's fitness that fails is an error.", "MAY: no check beyond what the kernel refuses"),
    ),
    "config-linux.md, Cgroups Path": (
        _is("An absolute path begins at the mount point.", "an_absolute_cgroups_path_begins_at_the_mount_point"),
        _is("The same value is always the same place.", "a_relative_cgroups_path_is_always_at_the_same_place"),
        _is("Without one the runtime has a default.", "without_a_cgroups_path_there_is_a_place_by_the_id"),
        _is("A path considered invalid is an error.", "a_cgroups_path_of_systemd_is_an_error"),
        _is("Cgroups that do not exist are made.", "cgroups_that_do_not_exist_are_made"),
    ),
    "config-linux.md, Cgroup ownership": (
        _is("On v1 the owner should not be changed.", "the_owner_of_a_v1_cgroup_stays_root"),
        _is(
            "On v2, only the folder and the files listed for delegation should change; missing ones are no failure.",
            "a_v2_cgroup_given_to_a_user_has_only_the_files_of_delegation_changed",
        ),
        _is(
            "It should change only with a cgroup namespace of its own and a writable mount.",
            "the_cgroups_owner_is_known_from_the_document",
        ),
        _no(
            "Without /sys/kernel/cgroup/delegate three names are the list.",
            "every kernel with cgroup v2 since 4.15 has it",
        ),
    ),
    "config-linux.md, Allowed Device list": (
        _is("Rules are applied in their order.", "device_rules_are_applied_in_their_order"),
        _is("access is r, w, m.", "access_to_a_device_is_as_its_letters_say"),
        _is("Numbers and type not given mean all.", "numbers_that_are_not_given_mean_all"),
    ),
    "config-linux.md, Memory": (
        _is("limit.", "the_memory_limit_is_what_is_given"),
        _is("-1 is unlimited.", "minus_one_is_no_limit"),
        _is("reservation.", "the_memory_reservation_is_what_is_given"),
        _is("swap is memory and swap.", "the_limit_of_memory_and_swap_is_what_is_given_or_an_error"),
        _is("kernel, kernelTCP (not recommended).", "a_limit_of_kernel_memory_is_set_or_an_error"),
        _is("swappiness.", "the_swappiness_is_what_is_given"),
        _is("disableOOMKiller.", "the_oom_killer_is_disabled_when_asked"),
        _is("The OOM killer is enabled by default.", "what_is_over_its_memory_is_killed_by_default"),
        _no("useHierarchy.", "kernels since 5.11 have no other way; where the file is, it is written"),
        _is(
            "checkBeforeUpdate: a limit below what is used is rejected.",
            "a_limit_below_what_is_used_is_refused_where_it_is_to_be_checked",
        ),
    ),
    "config-linux.md, CPU": (
        _is("shares.", "the_cpu_shares_are_what_is_given"),
        _is("quota and period.", "the_cpu_quota_and_period_are_what_is_given"),
        _is("burst, no larger than the quota.", "the_cpu_burst_is_what_is_given_and_no_larger_than_the_quota"),
        _is("realtimeRuntime, realtimePeriod.", "realtime_limits_are_set_or_an_error"),
        _is("cpus and mems.", "the_container_runs_on_the_cpus_and_memory_nodes_that_are_given"),
        _is("idle.", "a_container_is_idle_when_asked"),
    ),
    "config-linux.md, Block IO": (
        _is("weight and leafWeight.", "a_weight_of_block_io_is_set_or_an_error"),
        _is("weightDevice.", "a_weight_for_one_device_is_set_or_an_error"),
        _is("The four throttles.", "a_throttle_is_what_is_given"),
        _no("An entry has one of weight and leafWeight.", _AUTHOR),
    ),
    "config-linux.md, Huge page limits": (
        _is("pageSize and limit are required.", "a_limit_of_huge_pages_is_set_or_an_error"),
        _is(
            "Reservations are limited where the kernel can, use otherwise.",
            "the_unified_tree_takes_limits_of_huge_pages_and_of_their_reservation",
        ),
    ),
    "config-linux.md, Network": (_is("classID and priorities.", "network_classes_and_priorities_are_set_or_an_error"),),
    "config-linux.md, PIDs": (_is("limit is required.", "the_limit_of_tasks_is_what_is_given"),),
    "config-linux.md, RDMA": (
        _is("hcaHandles and hcaObjects.", "rdma_limits_are_set_or_an_error"),
        _no("An entry has one of the two.", _AUTHOR),
    ),
    "config-linux.md, Unified": (
        _is("Each key is a file; unknown ones are written too.", "each_key_of_unified_is_a_file_that_is_written"),
        _is(
            "A controller that is not there or can't be enabled is an error.",
            "a_key_of_unified_without_its_controller_is_an_error",
        ),
        _is("On a machine without v2 it is an error.", "unified_on_a_machine_without_it_is_an_error"),
        _is("What v1 had and can't be converted is an error.", "what_v2_has_no_word_for_is_an_error_there"),
    ),
    "config-linux.md, IntelRdt": (
        _is("Without it a resctrl file system is not touched; with it there is an error.", "intel_rdt_is_refused"),
        _no("closID, schemata, l3CacheSchema, memBwSchema, enableCMT, enableMBM: thirteen rules.", _ABSENT),
    ),
    "config-linux.md, Sysctl": (
        _is("Parameters are set for the container.", "kernel_parameters_of_the_containers_namespaces_are_set"),
        _is("Those of the host are not for a container.", "a_kernel_parameter_of_the_host_is_an_error"),
        _is("kernel.hostname has a field of its own.", "the_host_name_is_no_kernel_parameter_of_the_list"),
    ),
    "config-linux.md, Seccomp": (
        _is("defaultAction is required.", "the_default_action_is_what_is_given"),
        _is("defaultErrnoRet; EPERM by default.", "the_default_errno_is_what_is_given_or_eperm"),
        _is(
            "defaultErrnoRet with an action that takes none fails.",
            "a_default_errno_for_an_action_that_takes_none_is_an_error",
        ),
        _is("architectures: every constant of the list.", "every_architecture_of_the_list_is_taken"),
        _is("An architecture that is none is an error.", "an_architecture_that_is_none_is_an_error"),
        _is("flags: the constants of the list.", "a_flag_of_the_list_is_taken_by_the_kernel"),
        _is("A flag that is none is an error.", "a_flag_that_is_none_is_an_error"),
        _is(
            "listenerPath: the process state goes to that AF_UNIX, SOCK_STREAM socket.",
            "the_agent_decides_about_calls_of_which_it_is_notified",
        ),
        _is(
            "One state per connection, which is closed after it; seccompFd with it.",
            "the_agent_gets_the_containers_process_state_and_one_descriptor",
        ),
        _is("If sending fails there is an error.", "an_agent_that_cannot_be_reached_is_an_error"),
        _is("Without SCMP_ACT_NOTIFY it is ignored.", "the_listeners_path_is_ignored_where_nobody_is_notified"),
        _is("listenerMetadata needs listenerPath.", "metadata_without_a_listener_is_an_error"),
        _is("names has one entry at least.", "a_rule_needs_a_name"),
        _is("A rule is for each of its names.", "a_rule_is_for_every_name_it_has"),
        _is("action is required: the constants of the list.", "a_rules_action_is_what_is_given"),
        _is("errnoRet; EPERM by default.", "a_rules_errno_is_what_is_given_or_eperm"),
        _is("errnoRet with an action that takes none fails.", "an_errno_for_an_action_that_takes_none_is_an_error"),
        _is("args: index is required.", "an_index_is_the_arguments_place"),
        _is("args: value is required, valueTwo may be; 64 bits.", "argument_comparisons_are_64_bits_wide"),
        _is("args: op is required: the constants of the list.", "an_operator_compares_as_its_name_says"),
        _is("Arguments that can't be are errors.", "an_argument_that_cannot_be_is_an_error"),
        _is("The container's processes are under it, an exec's too.", "an_exec_is_under_the_containers_profile"),
    ),
    "config-linux.md, The Container Process State": (
        _is(
            "JSON as payload and SCM_RIGHTS in the first message: ociVersion, fds, pid, metadata, state.",
            "the_agent_gets_the_containers_process_state_and_one_descriptor",
        ),
    ),
    "config-linux.md, Rootfs Mount Propagation": (
        _is("shared, slave, private or unbindable.", "the_root_has_the_propagation_that_is_given"),
    ),
    "config-linux.md, Masked Paths": (
        _is("Masked paths can't be read.", "masked_paths_cannot_be_read"),
        _is("They are absolute.", "a_masked_path_is_absolute"),
    ),
    "config-linux.md, Readonly Paths": (
        _is("Read-only paths can't be written.", "read_only_paths_cannot_be_written"),
        _is("They are absolute.", "a_read_only_path_is_absolute"),
    ),
    "config-linux.md, Mount Label": (_is("The SELinux context of mounts.", "a_mount_label_is_refused"),),
    "config-linux.md, Personality": (
        _is("domain is required: LINUX, LINUX32.", "the_execution_domain_is_what_is_given"),
        _is("flags: none is supported.", "flags_of_a_personality_are_an_error"),
    ),
    "runtime.md, Scope of a Container": (
        _is(
            "Who created a container can use every operation on it.",
            "another_process_of_the_creator_can_use_the_container",
        ),
    ),
    "runtime.md, State": (
        _is("ociVersion is required.", "the_state_tells_its_version"),
        _is("id is required and unique on the host.", "an_id_is_used_once"),
        _is("status is required: creating.", "the_status_is_creating_while_hooks_run"),
        _is("status: created.", "the_status_is_created_until_start"),
        _is("status: running.", "the_status_is_running_after_start"),
        _is("status: stopped.", "the_status_is_stopped_when_the_process_is_gone"),
        _is("A status beyond these means something else.", "a_status_of_our_own_means_something_else"),
        _is("pid is required when created or running: the host's.", "the_pid_is_the_hosts"),
        _is("bundle is required and absolute.", "the_bundle_is_an_absolute_path"),
        _is("annotations may be absent or empty.", "the_state_has_the_annotations"),
    ),
    "runtime.md, Lifecycle": (
        _is("2: an environment that can't be made is an error.", "an_environment_that_cannot_be_made_is_an_error"),
        _is(
            "2: resources are made, the program does not run.",
            "create_makes_the_resources_and_does_not_run_the_program",
        ),
        _is(
            "2: later changes of config.json have no effect.",
            "changes_of_the_configuration_after_create_have_no_effect",
        ),
        _is("3 to 9, 13: each step runs its hooks.", "each_step_of_the_lifecycle_runs_its_hooks"),
        _is(
            "3 to 5: a failure of prestart, createRuntime, createContainer is an error; stop, destroy, poststop.",
            "a_failing_hook_of_create_is_an_error_and_ends_the_container",
        ),
        _is(
            "7, 9: so is one of startContainer, poststart.",
            "a_failing_hook_of_start_is_an_error_and_ends_the_container",
        ),
        _is("8: the program is run.", "start_runs_the_program"),
        _is("12: create is undone.", "delete_undoes_what_create_did"),
        _is("13: a failure of poststop is a warning.", "a_failing_poststop_hook_is_a_warning_and_the_others_run"),
    ),
    "runtime.md, Errors": (_is("An error leaves all as it was.", "an_error_leaves_all_as_it_was"),),
    "runtime.md, Warnings": (_is("A warning does not change what happens.", "a_warning_changes_nothing_else"),),
    "runtime.md, Operations": (
        _is("Each operation needs an ID.", "an_operation_without_an_id_is_an_error"),
        _is("A container that is not there is an error.", "an_operation_on_a_container_that_is_not_there_is_an_error"),
    ),
    "runtime.md, Query State": (_is("state gives the state.", "state_gives_the_state"),),
    "runtime.md, Create": (
        _is("A bundle is needed.", "create_without_a_bundle_is_an_error"),
        _is("An ID that is taken makes no container.", "an_id_is_used_once"),
        _is("An ID that is not valid makes no container.", "an_id_that_is_not_valid_is_an_error"),
        _is("Everything but the process is applied.", "create_applies_everything_but_the_process"),
        _is("args are not applied before start.", "args_are_not_applied_before_start"),
        _is(
            "What can't be applied is an error, and no container.",
            "what_cannot_be_applied_is_an_error_and_makes_no_container",
        ),
    ),
    "runtime.md, Start": (
        _is(
            "What is not created can't be started; no effect, an error.",
            "starting_what_is_not_created_is_an_error_without_effect",
        ),
        _is("What has stopped can't be started.", "starting_what_has_stopped_is_an_error"),
        _is("The program runs, or there is an error.", "start_of_a_program_that_cannot_run_is_an_error"),
        _is("Without process there is an error.", "a_specification_without_a_process_is_refused"),
    ),
    "runtime.md, Kill": (
        _is(
            "What is neither created nor running gets no signal; no effect, an error.",
            "a_signal_to_what_does_not_run_is_an_error_without_effect",
        ),
        _is("The signal given is sent.", "kill_sends_the_signal_that_is_given"),
        _is("A container that is only created gets it too.", "a_signal_reaches_a_container_that_is_only_created"),
    ),
    "runtime.md, Delete": (
        _is(
            "What has not stopped can't be deleted; no effect, an error (but one only created goes, as with runc).",
            "deleting_what_has_not_stopped_is_an_error_without_effect",
        ),
        _is("What create made is deleted.", "delete_undoes_what_create_did"),
        _is("What it did not make is not.", "delete_leaves_what_the_container_did_not_make"),
        _is("The ID may be used again.", "an_id_can_be_used_again_after_delete"),
    ),
}


def document() -> str:
    """docs/runtime-statements.md."""
    lines = [
        "# What the OCI runtime specification says, and the test that holds us to it",
        "",
        "Version 1.2: config.md, config-linux.md, runtime.md, in our own words. Made from tests/runtime/statements.py;",
        "a test compares the two, and the names with the tests that are there.",
    ]
    for section, statements in SECTIONS.items():
        lines += ["", f"## {section}", "", "| statement | test |", "|---|---|"]
        lines += [
            f"| {one.text} | {f'`{one.test}`' if one.test else f'does not apply: {one.reason}'} |" for one in statements
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
