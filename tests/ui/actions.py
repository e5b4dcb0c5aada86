"""Which test does each action that the window offers, by mouse and keyboard on a real engine. The names of actions are
those of `tests.ui.offered`; `more:` are actions that have no entry of their own in a menu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HERE = "ui/test_every_action.py"
MENU = f"{HERE}::test_the_menu_of_a_container_pauses_copies_and_leads_to_its_tabs"
KEYS = f"{HERE}::test_the_shortcuts_of_the_window"
TABS = f"{HERE}::test_ctrl_tab_goes_through_the_tabs_of_a_container"
PROJECT = f"{HERE}::test_the_menu_of_a_project"
NAMES = f"{HERE}::test_names_of_images_volumes_and_networks_are_copied_and_an_image_is_run_by_its_menu"
ASKED = f"{HERE}::test_the_palettes_commands_ask"
THEMES = f"{HERE}::test_themes_by_the_palette"
PROCESS = "ui/test_process.py"
QUIT = f"{PROCESS}::test_quit_ends_the_process_where_there_is_a_tray"
TRAY = f"{PROCESS}::test_the_trays_entries"
MADE = "ui/test_making.py::test_a_container_is_renamed_made_an_image_of_exported_and_killed"
FILES = "ui/test_container_tabs.py::test_files_are_looked_at_downloaded_and_uploaded_also_of_a_stopped_container"
FILE_MENU = f"{HERE}::test_a_files_path_is_copied_and_another_command_is_a_shell"
IMAGE = "ui/test_making.py::test_an_image_gets_a_name_is_saved_and_loaded"
ROW = "ui/test_window.py::test_actions_of_a_row_happen_in_the_engine"
NETWORK = "ui/test_volumes_networks.py::test_a_network_is_created_joined_left_and_deleted"
VOLUME = "ui/test_volumes_networks.py::test_a_volume_is_created_and_deleted_by_the_dialog_that_names_it"
BUILDS = "ui/test_builds.py"
BIN = "ui/test_undo.py::test_the_bin_brings_back_and_deletes_for_good_what_is_chosen"
BIN_COMMANDS = "ui/test_undo.py::test_the_palette_undoes_and_shows_the_bin"
UNDO = "ui/test_undo.py::test_deleted_containers_come_back_by_undo_and_by_ctrl_z"
MOVES = "ui/test_volume_moves.py"
VM_PALETTE = "ui/test_vm_actions.py::test_the_palette_stops_the_vm_after_a_question_and_starts_it"
VM_MENU = "ui/test_vm_actions.py::test_the_engines_menu_restarts_stops_and_starts_the_vm"
VM_TRAY = "ui/test_vm_actions.py::test_the_tray_stops_and_starts_the_vm"
COST = "ui/test_cost.py::test_memory_processor_and_disk_are_told_by_what_uses_them"

TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "page: containers": ("ui/test_window.py::test_the_list_follows_the_engine",),
    "page: container": ("ui/test_container_tabs.py::test_the_xray_leads_from_the_port_to_the_process",),
    "page: run": ("ui/test_window.py::test_a_run_shows_its_five_steps",),
    "page: compose": ("ui/test_compose.py::test_a_project_is_stopped_and_started_and_its_logs_are_one",),
    "page: images": ("ui/test_lists.py::test_images_are_selected_and_deleted_as_the_filter_shows_them",),
    "page: volumes": (
        "ui/test_volumes_networks.py::test_a_volume_shows_its_size_and_its_users_and_follows_the_engine",
    ),
    "page: bin": (BIN,),
    "page: welcome": ("ui/test_welcome.py::test_a_new_user_runs_a_container_and_connects_docker_by_clicks",),
    "page: networks": (NETWORK,),
    "page: builds": (f"{BUILDS}::test_a_build_shows_its_steps_and_the_output_of_each",),
    "page: registries": ("ui/test_registries.py::test_a_registry_is_tested_with_and_without_a_login",),
    "page: activity": ("ui/test_controls.py::test_the_activity_filter_keeps_one_kind",),
    "page: cost": (COST,),
    "page: troubleshoot": ("ui/test_troubleshoot.py::test_checks_run_at_the_first_visit_and_again_on_request",),
    "page: settings": ("ui/test_settings.py::test_theme_and_zoom_follow_the_page_and_the_command_line",),
    "containers: start": (ROW, "ui/test_container_tabs.py::test_a_stopped_container_is_started_for_its_terminal"),
    "containers: stop": (ROW, "ui/test_states.py::test_a_stop_on_request_is_no_problem_even_by_force"),
    "containers: restart": (ROW, "ui/test_lists.py::test_the_bar_offers_what_fits_and_stays_under_the_pointer"),
    "containers: pause": (MENU,),
    "containers: resume": (MENU,),
    "containers: kill": (f"{HERE}::test_kill_now_cuts_a_long_stop_short",),
    "containers: end": (MADE,),
    "containers: delete": ("ui/test_selection.py::test_del_acts_on_what_the_bar_counts",),
    "containers: edit": (
        "ui/test_edit.py::test_limits_change_while_the_container_runs",
        "ui/test_edit.py::test_a_new_container_takes_the_place_and_has_all_but_the_change",
        "ui/test_edit.py::test_what_cannot_start_is_taken_back",
    ),
    "containers: rename": (MADE,),
    "containers: commit": (MADE,),
    "containers: export": (MADE,),
    "containers: logs": (MENU, "ui/test_logs.py::test_a_search_finds_what_is_not_loaded_and_goes_there"),
    "containers: terminal": (MENU,),
    "containers: inspect": (MENU,),
    "containers: port:": (
        "ui/test_controls.py::test_a_port_is_opened_in_the_row_by_its_key_in_the_menu_and_on_the_page",
    ),
    "containers: copyport:": (MENU,),
    "containers: copyid": (MENU,),
    "containers: copyname": (MENU,),
    "containers: copy": ("ui/test_selection.py::test_ctrl_period_and_copy_act_on_what_the_bar_counts",),
    "files: copy": (FILE_MENU,),
    "files: open": (FILE_MENU,),
    "files: download": (FILES, f"{MOVES}::test_the_files_of_a_volume_are_looked_at_fetched_and_put"),
    "containers: other": (FILE_MENU,),
    "compose: start": ("ui/test_compose.py::test_a_project_is_stopped_and_started_and_its_logs_are_one",),
    "compose: stop": ("ui/test_compose.py::test_a_project_is_stopped_and_started_and_its_logs_are_one",),
    "compose: restart": (PROJECT,),
    "compose: logs": (PROJECT,),
    "compose: build": ("ui/test_compose_build.py::test_a_build_is_followed_and_its_failing_line_is_told",),
    "compose: copy": (PROJECT,),
    "compose: every": ("ui/test_compose.py::test_the_view_of_logs_shows_one_service_or_all",),
    "compose: only/": ("ui/test_compose.py::test_the_view_of_logs_shows_one_service_or_all",),
    "compose: delete": ("ui/test_compose.py::test_a_project_is_deleted_by_the_dialog_that_names_its_parts",),
    "images: run": (NAMES,),
    "images: copy": (NAMES,),
    "images: tag": (IMAGE,),
    "images: push": (
        "ui/test_making.py::test_an_image_is_pushed_under_the_name_that_is_asked_for",
        "ui/test_making.py::test_a_push_that_the_registry_refuses_says_why_and_leads_to_the_logins",
    ),
    "images: save": (IMAGE,),
    "images: delete": ("ui/test_controls.py::test_del_on_an_image_asks_and_deletes",),
    "volumes: copy": (NAMES,),
    "volumes: delete": (VOLUME,),
    "volumes: export": (f"{MOVES}::test_a_volume_is_exported_and_imported_under_another_name",),
    "volumes: clone": (f"{MOVES}::test_a_volume_is_cloned_and_renamed_unless_a_container_has_it",),
    "volumes: rename": (f"{MOVES}::test_a_volume_is_cloned_and_renamed_unless_a_container_has_it",),
    "bin: restore": (BIN,),
    "bin: rename": (BIN,),
    "bin: delete": (BIN,),
    "networks: copy": (NAMES,),
    "networks: delete": (NETWORK,),
    "builds: cancel": (f"{BUILDS}::test_a_running_build_is_live_and_is_cancelled",),
    "builds: copy": (f"{BUILDS}::test_only_the_named_build_is_deleted_from_the_history",),
    "builds: delete": (f"{BUILDS}::test_only_the_named_build_is_deleted_from_the_history",),
    "engine: Start the VM": (VM_MENU,),
    "engine: Stop the VM…": (VM_MENU,),
    "engine: Restart the VM…": (VM_MENU,),
    "engine: Copy its address": (f"{HERE}::test_the_engines_address_is_copied",),
    "key: Alt+Left": (KEYS,),
    "key: Alt+Right": (KEYS,),
    "key: Ctrl++": (KEYS,),
    "key: Ctrl+,": (KEYS,),
    "key: Ctrl+-": (KEYS,),
    "key: Ctrl+0": (KEYS,),
    "key: Ctrl+=": (KEYS,),
    "key: Ctrl+B": (KEYS,),
    "key: Ctrl+F": (KEYS,),
    "key: Ctrl+K": ("ui/test_palette.py::test_enter_opens_the_container_of_that_name",),
    "key: Ctrl+N": (KEYS,),
    "key: Ctrl+Q": (QUIT,),
    "key: Ctrl+Shift+P": (KEYS,),
    "key: Ctrl+Shift+Tab": (TABS,),
    "key: Ctrl+Tab": (TABS,),
    "key: Ctrl+W": (f"{PROCESS}::test_quit_ends_the_process_whose_window_is_closed_to_the_tray",),
    "key: Ctrl+Z": (UNDO,),
    "key: F6": (KEYS,),
    "palette: Create a network…": (ASKED,),
    "palette: Create a volume…": (ASKED,),
    "palette: Pull an image…": (ASKED,),
    "palette: Run an image…": (ASKED,),
    "palette: Quit Cove": (QUIT,),
    "palette: Start the VM": (VM_PALETTE,),
    "palette: Stop the VM…": (VM_PALETTE,),
    "palette: Undo the last deletion": (BIN_COMMANDS,),
    "palette: Show the bin": (BIN_COMMANDS,),
    "palette: Show the welcome": ("ui/test_welcome.py::test_the_keyboard_goes_through_the_welcome_and_out_of_it",),
    "palette: Use the dark theme": (THEMES,),
    "palette: Use the desktop's theme": (THEMES,),
    "palette: Use the light theme": (THEMES,),
    "tray: Logs": (TRAY,),
    "tray: Terminal": (TRAY,),
    "tray: Open {port}": (TRAY,),
    "tray: Open Cove": (TRAY,),
    "tray: Quick run…": (TRAY,),
    "tray: Run again: {image}": (TRAY,),
    "tray: Restart": (TRAY,),
    "tray: Start": (f"{PROCESS}::test_the_tray_stops_and_starts_a_container",),
    "tray: Stop": (f"{PROCESS}::test_the_tray_stops_and_starts_a_container",),
    "tray: Start VM": (VM_TRAY,),
    "tray: Stop VM": (VM_TRAY,),
    "tray: Quit Cove": (QUIT,),
    "more: sort": ("ui/test_lists.py::test_the_first_click_on_an_amount_puts_the_largest_on_top",),
    "more: upload files": (FILES, f"{MOVES}::test_the_files_of_a_volume_are_looked_at_fetched_and_put"),
    "more: undo a deletion": (
        UNDO,
        "ui/test_undo.py::test_a_container_whose_name_is_taken_comes_back_under_another_one",
    ),
    "more: empty the bin": (BIN,),
    "more: import a volume": (f"{MOVES}::test_a_volume_is_exported_and_imported_under_another_name",),
    "more: clean up volumes": (
        "ui/test_volumes_networks.py::test_a_clean_up_of_volumes_deletes_what_is_ticked_and_nothing_else",
    ),
    "more: clean up the build cache": (f"{BUILDS}::test_the_cache_is_cleaned_up_by_what_was_ticked",),
    "more: connect and disconnect a container": (NETWORK,),
    "more: log in and out": ("ui/test_registries.py::test_a_login_is_refused_or_kept_and_removed",),
    "more: load images": (IMAGE,),
    "more: charts and their export": ("ui/test_container_tabs.py::test_stats_draw_what_is_and_what_was",),
    "more: processes": ("ui/test_container_tabs.py::test_processes_are_live_while_they_are_looked_at",),
    "more: start with more memory": ("ui/test_states.py::test_what_ran_out_of_memory_is_started_with_more",),
    "more: several shells": ("ui/test_container_tabs.py::test_shells_are_opened_on_request_several_at_once",),
    "more: measure a start": ("ui/test_cost.py::test_a_start_is_measured_on_request_and_leaves_nothing",),
}
