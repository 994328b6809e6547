//! Finds the processes that descend from the supervisor, in a list of processes with their parents, in linear time.

use super::proc::parent_pid;
use crate::logic::base::time::parse_number;

/// A process: its pid, its parent's pid, and its mark, in this order. A list of processes is sorted by pid, as in
/// /proc.
pub type PidParentMark = [i32; 3];

/// The mark of a process that has not been visited.
const UNMARKED: i32 = 0;
/// The mark of a process that descends from the supervisor.
pub const DESCENDANT: i32 = 1;
/// The mark of a helper of vsrun, such as the rotator, and of its descendants.
const HELPER_DESCENDANT: i32 = 2;
/// The mark of a process that entered our pid namespace from outside: it, or an ancestor, has a parent that has no pid
/// in this namespace.
pub const FROM_OUTSIDE_NAMESPACE: i32 = 3;
/// The mark of a process whose ancestors cannot be followed, because one of them exited while the list was read, or
/// its pid was reused. In the next list, the children of that ancestor have a new parent.
pub const UNKNOWN_ANCESTOR: i32 = 4;
/// A temporary mark: the search for a marked ancestor has visited this process.
const VISITED: i32 = 5;

/// Marks every process of the list. `own_pid` is the pid of the supervisor, and `helpers` are the pids of its helpers.
/// Each process is visited twice at most, however long the chains of parents are. A separate search for each process
/// would be quadratic, and a server could keep its manager busy with a long chain of children.
pub fn mark_descendants(rows: &mut [PidParentMark], own_pid: i32, helpers: &[i32]) {
    for first in 0..rows.len() {
        let verdict = find_ancestor_mark(rows, first, own_pid, helpers);
        let mut at = Some(first);
        while let Some([_, parent, mark]) = at.and_then(|at| rows.get_mut(at))
            && *mark == VISITED
        {
            *mark = verdict;
            let parent = *parent;
            at = find_row(rows, parent);
        }
    }
}

/// Follows the parents of the process with the index `first` up to the supervisor, to a helper, or to a process that
/// has a mark already. Returns the mark that follows for all processes on the way, and marks them as visited.
fn find_ancestor_mark(rows: &mut [PidParentMark], first: usize, own_pid: i32, helpers: &[i32]) -> i32 {
    let mut at = Some(first);
    while let Some([pid, parent, mark]) = at.and_then(|at| rows.get_mut(at)) {
        match *mark {
            UNMARKED => *mark = VISITED,
            // The chain of parents is a cycle, because a pid was reused while the list was read.
            VISITED => return UNKNOWN_ANCESTOR,
            mark => return mark,
        }
        if helpers.contains(pid) {
            return HELPER_DESCENDANT;
        }
        match *parent {
            0 => return FROM_OUTSIDE_NAMESPACE,
            parent if parent == own_pid => return DESCENDANT,
            parent => at = find_row(rows, parent),
        }
    }
    UNKNOWN_ANCESTOR
}

fn find_row(rows: &[PidParentMark], wanted: i32) -> Option<usize> {
    rows.binary_search_by_key(&wanted, |[pid, ..]| *pid).ok()
}

/// The pid of a running process's parent, from the `stat` file of the process in /proc; None for a zombie. A process
/// whose first thread has exited is running as long as one of its other threads is.
pub fn parent_unless_zombie(stat: &[u8]) -> Option<i32> {
    // In a `stat` file, the state follows the process name, which may contain any bytes.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut words = stat.get(end + 2..)?.split(|byte| *byte == b' ');
    let dead = matches!(words.next()?, b"Z" | b"X");
    // The number of threads is field 20 of a `stat` file (proc(5)). The state is field 3.
    if dead && words.nth(16).and_then(parse_number).is_none_or(|threads| threads < 2) {
        return None;
    }
    parent_pid(stat)
}

/// True if a process is in the session `session`, or started earlier than `before` (in clock ticks since the boot),
/// from its `stat` file in /proc.
pub fn in_session_or_older(stat: &[u8], session: i32, before: u64) -> bool {
    let Some(end) = stat.iter().rposition(|byte| *byte == b')') else { return false };
    let mut words = stat.get(end + 2..).unwrap_or_default().split(|byte| *byte == b' ');
    // In a `stat` file (proc(5)), the state is field 3, the session is field 6, and the start time is field 22.
    let own = words.nth(3).and_then(parse_number);
    let start = words.nth(15).and_then(parse_number);
    own == u64::try_from(session).ok() || start.is_some_and(|start| start < before)
}

/// True if a process has been sent SIGKILL or is exiting, but is not a zombie yet, from its `stat` file in /proc.
pub fn is_dying(stat: &[u8]) -> bool {
    /// PF_EXITING, a flag of the kernel's include/linux/sched.h: the process exits.
    const PF_EXITING: u64 = 4;
    const SIGKILL_BIT: u64 = 1 << (9 - 1);
    let Some(end) = stat.iter().rposition(|byte| *byte == b')') else { return false };
    let mut words = stat.get(end + 2..).unwrap_or_default().split(|byte| *byte == b' ');
    // In a `stat` file (proc(5)), the state is field 3, the kernel's flags are field 9, and the first thread's pending
    // signals are field 31. SIGKILL is pending in each thread, until the thread begins to exit.
    let mut has = |index: usize, bit: u64| words.nth(index).and_then(parse_number).is_some_and(|word| word & bit != 0);
    has(6, PF_EXITING) || has(21, SIGKILL_BIT)
}

/// The wait(2) status of a zombie: field 52 of its `stat` file in /proc. None for 0, which the kernel also shows to a
/// process that may not trace the zombie.
pub fn nonzero_wait_status(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let word = stat.get(end + 2..)?.trim_ascii_end().split(|byte| *byte == b' ').nth(49)?;
    parse_number(word).and_then(|word| i32::try_from(word).ok()).filter(|word| *word != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(rows: &[(i32, i32)], helper: Option<i32>) -> Vec<i32> {
        let mut rows: Vec<PidParentMark> = rows.iter().map(|(pid, parent)| [*pid, *parent, UNMARKED]).collect();
        mark_descendants(&mut rows, 10, helper.as_slice());
        rows.iter().map(|[.., mark]| *mark).collect()
    }

    #[test]
    fn a_process_that_is_dying_is_recognized() {
        let stat = |flags: &str, pending: &str| {
            format!(
                "12 (a) b) R 1 12 12 0 -1 {flags} 90 0 0 0 0 0 0 0 20 0 1 0 500 3 4 5 6 7 8 9 10 {pending} 0 0 0 17"
            )
        };
        for (flags, pending, dying) in [
            ("4194304", "0", false),
            ("4194304", "256", true),
            ("4194304", "16640", true),
            ("4194304", "16384", false),
            ("4194560", "128", false),
            ("4194308", "0", true),
        ] {
            assert_eq!(is_dying(stat(flags, pending).as_bytes()), dying, "{flags} {pending}");
        }
        assert!(!is_dying(b"") && !is_dying(b"12 (a) R 1"));
    }

    #[test]
    fn each_process_is_assigned_to_its_ancestor() {
        let rows = [(1, 0), (2, 1), (11, 10), (12, 11), (20, 10), (21, 20), (22, 12), (30, 0), (31, 30), (40, 39)];
        let expected = [
            FROM_OUTSIDE_NAMESPACE,
            FROM_OUTSIDE_NAMESPACE,
            DESCENDANT,
            DESCENDANT,
            HELPER_DESCENDANT,
            HELPER_DESCENDANT,
            DESCENDANT,
            FROM_OUTSIDE_NAMESPACE,
            FROM_OUTSIDE_NAMESPACE,
            UNKNOWN_ANCESTOR,
        ];
        assert_eq!(marks(&rows, Some(20)), expected);
        assert_eq!(marks(&rows, None)[4..6], [DESCENDANT, DESCENDANT]);
        // A child with a lower pid than its parent, and parents that form a circle.
        assert_eq!(marks(&[(5, 12), (12, 10)], None), [DESCENDANT, DESCENDANT]);
        assert_eq!(marks(&[(5, 6), (6, 7), (7, 5), (8, 7)], None), [UNKNOWN_ANCESTOR; 4]);
    }

    #[test]
    fn a_long_chain_takes_linear_time() {
        let chain: Vec<(i32, i32)> = (11..200_011).map(|pid| (pid, pid - 1)).collect();
        let upwards: Vec<(i32, i32)> =
            (11..200_011).map(|pid| (pid, if pid == 200_010 { 10 } else { pid + 1 })).collect();
        for rows in [chain, upwards] {
            let count = if cfg!(miri) { 50 } else { rows.len() };
            let rows = &rows[rows.len() - count..];
            let expected = if rows[0].1 == 10 || rows[rows.len() - 1].1 == 10 { DESCENDANT } else { UNKNOWN_ANCESTOR };
            assert!(marks(rows, None).iter().all(|mark| *mark == expected));
        }
    }

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        let stat = |state: &str, threads: u32| {
            let rest = "7 0 -1 4228300 1 2 3 4 5 6 7 8 20 0";
            format!("12 (a) Z (b) {state} 34 7 {rest} {threads} 0 99\n").into_bytes()
        };
        for (state, threads, parent) in
            [("S", 1, Some(34)), ("Z", 1, None), ("Z", 0, None), ("X", 1, None), ("Z", 3, Some(34)), ("T", 1, Some(34))]
        {
            assert_eq!(parent_unless_zombie(&stat(state, threads)), parent, "{state} {threads}");
        }
        assert_eq!(
            (parent_unless_zombie(b""), parent_unless_zombie(b"1 (x"), parent_unless_zombie(b"1 (x) Z")),
            (None, None, None)
        );
    }

    #[test]
    fn processes_are_selected_by_session_or_by_an_earlier_start() {
        let stat = b"12 (a b) S 34 12 7 0 -1 4228300 1 2 3 4 5 6 7 8 20 0 1 0 500 99\n";
        for (session, before, is) in [(7, 0, true), (8, 0, false), (8, 500, false), (8, 501, true), (34, 0, false)] {
            assert_eq!(in_session_or_older(stat, session, before), is, "{session} {before}");
        }
        assert!(!in_session_or_older(b"", 7, 1) && !in_session_or_older(b"1 (x) S", 7, 1));
    }

    #[test]
    fn the_exit_word_is_the_last_one() {
        let stat = |word: &str| format!("12 (x) Z {} {word}\n", ["0"; 48].join(" ")).into_bytes();
        assert_eq!(nonzero_wait_status(&stat("1792")), Some(1792));
        assert_eq!(
            (nonzero_wait_status(&stat("0")), nonzero_wait_status(b"12 (x) Z 1"), nonzero_wait_status(b"")),
            (None, None, None)
        );
    }
}
