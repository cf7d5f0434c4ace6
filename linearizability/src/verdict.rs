//! The three answers: yes with a witness, no with an explanation, unknown with the reason.

use thiserror::Error;

/// What is known about a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Linearizable, in the order the witness gives.
    Linearizable(Witness),
    /// Not linearizable.
    Violation(Violation),
    /// Not decided. Never to be read as a pass.
    Unknown(Unknown),
}

impl Verdict {
    /// Whether the history was shown to be linearizable.
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Verdict::Linearizable(_))
    }

    /// Whether the history was shown not to be linearizable.
    pub fn is_violation(&self) -> bool {
        matches!(self, Verdict::Violation(_))
    }
}

/// A proof that a history is linearizable, verified by replay before it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Ids of operations in an order in which they could have happened one at a time: every completed operation
    /// once; a pending one once if it took effect, else not at all.
    pub order: Vec<usize>,
}

/// Why one partition of a history is not linearizable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The partition (the key), as the model names it; empty when the model has only one.
    pub partition: String,
    /// What kind of thing went wrong, in a few words ("stale read").
    pub title: String,
    /// What went wrong, in one sentence.
    pub sentence: String,
    /// Ids of a small set of operations that cannot have happened together, by call.
    pub core: Vec<usize>,
    /// Whether no operation of the core can be spared: without any one of them the rest could have happened.
    pub core_is_minimal: bool,
    /// The operation that found no place, when the violation was found by searching: every order is wrong
    /// before all operations up to its return are in it.
    pub stuck: Option<usize>,
    /// The order, right as far as it goes, that came up to the return of `stuck`. Empty when the violation was
    /// not found by searching.
    pub partial: Vec<usize>,
    /// Other partitions found not to be linearizable either, as far as the check got.
    pub also: Vec<String>,
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unknown {
    /// Occurs when the budget of configurations was used up.
    #[error("undecided after {configurations} configurations ({undecided} of {partitions} partitions open)")]
    OutOfConfigurations {
        /// How many configurations were examined.
        configurations: u64,
        /// How many partitions were still open.
        undecided: usize,
        /// How many partitions there are.
        partitions: usize,
    },
    /// Occurs when the budget of time was used up.
    #[error("undecided when time ran out ({undecided} of {partitions} partitions open)")]
    OutOfTime {
        /// How many partitions were still open.
        undecided: usize,
        /// How many partitions there are.
        partitions: usize,
    },
    /// Occurs when a procedure claimed an order that its replay refuted: a defect of the checker (or of a model
    /// that is not a pure function), not of the history.
    #[error("the order found does not replay: {0}; this is a defect of the checker or of the model")]
    Defect(#[from] Refuted),
}

/// Why an order of operations is no witness.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refuted {
    /// Occurs when the order names an operation the history does not have.
    #[error("there is no operation {0}")]
    NoSuchOperation(usize),
    /// Occurs when the order names an operation twice.
    #[error("operation {0} occurs twice")]
    Twice(usize),
    /// Occurs when a completed operation is not in the order.
    #[error("operation {0} is missing")]
    Missing(usize),
    /// Occurs when an operation stands behind one that was called only after it returned.
    #[error("operation {late} had returned before operation {before}, which precedes it here, was called")]
    RealTime {
        /// The operation that stands too late.
        late: usize,
        /// The operation before it.
        before: usize,
    },
    /// Occurs when the model does not allow an operation's answer where the operation stands.
    #[error("the model does not allow the answer of operation {0} there")]
    Answer(usize),
}
