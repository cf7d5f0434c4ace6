//! The tests of single messages that are written as text: one for each file of `scenarios/`. To add one, write the file,
//! and its name here. The language is described in [`scene`](crate::scene).

use crate::scene::scenarios;

scenarios! {
    acknowledged_kept_2C
    candidate_follows_2A
    commit_bound_2B
    denied_candidate_2B
    earlier_answer_2B
    earlier_candidacy_2A
    earlier_reign_2B
    figure8_2C
    guessed_match_2B
    half_commits_nothing_2B
    heartbeat_before_snapshot_2D
    heartbeat_check_2B
    higher_term_2A
    kept_tail_2B
    late_append_2B
    newer_suffix_discarded_2D
    majority_of_four_2A
    not_committed_by_restart_2C
    old_leader_2B
    old_leaders_heartbeat_2A
    old_leaders_snapshot_2D
    old_snapshot_2D
    old_term_entry_2B
    older_log_2B
    one_way_2A
    own_entry_kept_2C
    prefix_in_snapshot_2D
    second_vote_2A
    shorter_log_2B
    snapshot_boundary_2D
    snapshot_kept_2D
    stale_suffix_2D
    stale_votes_2A
    suffix_discarded_2D
    suffix_kept_2D
    term_kept_2C
    three_of_seven_2B
    vote_kept_2C
    vote_kept_in_known_term_2C
}
