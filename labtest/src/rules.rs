//! The rules that the checks of tests name, beside [those that oracles watch over](crate::RULES). A failure that names a
//! rule sends its reader to the rule's page, `docs/rules/<id>.md`.

use crate::oracles::Rule;
pub use crate::oracles::{COMMIT, ELECTION_MAJORITY, LEADER_COMPLETENESS, ONE_LEADER, STATE_MACHINE};
pub use crate::shadow::RULE as PERSIST_BEFORE_ANSWER;

/// Of applying.
pub const APPLIED_IN_ORDER: Rule = Rule {
    id: "applied-in-order",
    says: "each entry is applied exactly once, in log order, from index 1 on or from the snapshot",
    paper: "section 5.3; figure 2, rules for all servers 1",
};

/// Of the calls into a server.
pub const CALLS_RETURN: Rule =
    Rule { id: "calls-return", says: "`start`, `state` and `snapshot` return at once", paper: "section 5.3" };

/// Of elections.
pub const ELECTION_TIMEOUT: Rule = Rule {
    id: "election-timeout",
    says: "a follower stands for election when, for an election timeout, it has heard from no leader and granted no vote",
    paper: "section 5.2",
};

/// Of the end of a server.
pub const KILL_ENDS: Rule = Rule {
    id: "kill-ends-threads",
    says: "after `kill` every thread of the server ends, whatever it was waiting for",
    paper: "the contract of the labs",
};

/// Of progress.
pub const NO_AGREEMENT: Rule = Rule {
    id: "no-agreement",
    says: "while a majority of the servers are up and reach each other, commands are committed and applied",
    paper: "section 5.4.3 and section 5.6",
};

/// Of economy.
pub const RPC_BUDGET: Rule = Rule {
    id: "rpc-budget",
    says: "servers send no more messages and bytes than the work needs",
    paper: "section 5.6",
};

/// Of the end of the log.
pub const SNAPSHOT_BOUNDARY: Rule = Rule {
    id: "snapshot-boundary",
    says: "a snapshot stands for the log up to its last included index, and never moves a service back",
    paper: "section 7; figure 13",
};

/// Of the answers of a server about itself.
pub const START_AND_STATE: Rule = Rule {
    id: "start-and-state",
    says: "`start` and `state` tell the server's own term and place in the log; the first index is 1, and only commands take one",
    paper: "section 5.3; figure 2, state and rules for leaders 2",
};

/// Of terms.
pub const STEP_DOWN: Rule = Rule {
    id: "step-down",
    says: "a server that learns of a later term takes it over and becomes a follower",
    paper: "section 5.1",
};

/// Of snapshots of a service.
pub const LOG_TRIMMED: Rule = Rule {
    id: "log-trimmed",
    says: "once the service has made a snapshot, the log it covers is discarded; without need there is no snapshot",
    paper: "section 7",
};

/// Of a key/value service's answers.
pub const LINEARIZABLE: Rule = Rule {
    id: "linearizable",
    says: "clerks see one store that executes each operation at some moment between its call and its return",
    paper: "section 8",
};

/// Of repeated requests.
pub const EXECUTED_ONCE: Rule = Rule {
    id: "executed-once",
    says: "a request that is sent again is not executed again",
    paper: "section 8",
};

/// Of a key/value service's progress.
pub const CLERKS_ANSWERED: Rule = Rule {
    id: "clerks-are-answered",
    says: "an operation returns soon while its clerk reaches a leader that a majority follows",
    paper: "section 8",
};

/// Of those, and of the oracles', the ones that something must happen; the others say what must not.
const OF_PROGRESS: [&Rule; 6] =
    [&CALLS_RETURN, &ELECTION_TIMEOUT, &KILL_ENDS, &NO_AGREEMENT, &RPC_BUDGET, &CLERKS_ANSWERED];

/// Whether a rule says what must not happen; if not, that something must.
pub fn is_of_safety(rule: &Rule) -> bool {
    !OF_PROGRESS.contains(&rule)
}

/// All of these.
pub const CHECKED: [&Rule; 13] = [
    &APPLIED_IN_ORDER,
    &CALLS_RETURN,
    &ELECTION_TIMEOUT,
    &KILL_ENDS,
    &NO_AGREEMENT,
    &RPC_BUDGET,
    &SNAPSHOT_BOUNDARY,
    &START_AND_STATE,
    &STEP_DOWN,
    &LOG_TRIMMED,
    &LINEARIZABLE,
    &EXECUTED_ONCE,
    &CLERKS_ANSWERED,
];
