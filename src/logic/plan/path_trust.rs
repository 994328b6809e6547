//! Which paths root may follow: a path must not lead through a directory of one user to a file of another, because the
//! first user could have redirected it.

use core::fmt;

use crate::logic::base::error::{Error, FilledPhrase, MessageArg};
use crate::logic::base::problem::Problem;
use crate::logic::base::text::ArrayText;

/// The check of a path, component by component: what is known about the owners of the components so far.
#[derive(Clone, Copy, Debug)]
pub struct PathTrustCheck {
    /// vsrun's own user id.
    own_uid: u32,
    /// The owner of `/`, who can replace everything. This is not root in a user namespace that shows the host's files.
    root_dir_owner: u32,
    /// The first owner that is not root, vsrun's own user or the owner of `/`. It must own all later components.
    first_other_owner: Option<u32>,
}

/// One component of a path.
#[derive(Clone, Copy, Debug)]
pub struct Component {
    /// The user id of the component's owner.
    pub owner: u32,
    /// The number of hard links to the component.
    pub hard_links: u64,
    /// True if other users may write to the directory that contains the component.
    pub in_shared_dir: bool,
}

impl PathTrustCheck {
    /// Starts the check of a path. `own_uid` is vsrun's user id, and `root_dir_owner` is the owner of `/`.
    pub fn new(own_uid: u32, root_dir_owner: u32) -> Self {
        Self { own_uid, root_dir_owner, first_other_owner: None }
    }

    /// True if the user is root, vsrun's own user or the owner of `/`.
    pub fn is_trusted_owner(&self, owner: u32) -> bool {
        owner == 0 || owner == self.own_uid || owner == self.root_dir_owner
    }

    /// True if users other than root, vsrun's own and the owner of `/` may create and remove names in a directory with
    /// this owner and mode.
    pub fn is_shared_dir(&self, owner: u32, mode: u32) -> bool {
        mode & 0o022 != 0 || !self.is_trusted_owner(owner)
    }

    /// The user that must own all further components. None if all components so far belong to root, vsrun's own user or
    /// the owner of `/`.
    pub fn required_owner(&self) -> Option<u32> {
        self.first_other_owner
    }

    /// Checks the next component of the path.
    ///
    /// # Errors
    /// If the component is not trusted: a user could have made the path lead to a file of another owner.
    pub fn check_next(&mut self, component: Component) -> Result<(), DistrustReason> {
        let Component { owner, hard_links, in_shared_dir } = component;
        match self.first_other_owner {
            Some(before) if before != owner => return Err(DistrustReason::OwnerChanged { owner, before }),
            Some(_) => {}
            None if self.is_trusted_owner(owner) => {
                // With fs.protected_hardlinks=0, every user can create a hard link to a symbolic link of root.
                if in_shared_dir && hard_links > 1 {
                    return Err(DistrustReason::HardLink);
                }
            }
            None => self.first_other_owner = Some(owner),
        }
        Ok(())
    }
}

/// Why a component of a path is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistrustReason {
    /// An earlier component of the path belongs to another user, who is not trusted.
    OwnerChanged {
        /// The user id of the component's owner.
        owner: u32,
        /// The user id of the owner of the earlier component.
        before: u32,
    },
    /// The component would have to be created in a directory of this user, and would belong to another user.
    CreatedInOthersDir(u32),
    /// The log directory belongs to this user, who is neither root, vsrun's user nor the server's.
    LogDirOfOtherUser(u32),
    /// The component has more than one hard link, and another user may have created the one in the path.
    HardLink,
    /// The component has replaced the directory that vsrun has just created.
    Replaced,
}

/// A component of a path that is not trusted.
#[derive(Clone)]
#[repr(C)] // Small fields first: shorter instructions.
pub struct UntrustedComponent {
    /// Why the component is not trusted.
    pub reason: DistrustReason,
    /// The name of the component.
    pub name: ArrayText<64>,
}

impl UntrustedComponent {
    /// The problem, and the user ids that its text names after the component.
    fn problem(&self) -> (Problem, [MessageArg<'static>; 2]) {
        let user = |uid: u32| MessageArg::Number(uid.into());
        match self.reason {
            DistrustReason::OwnerChanged { owner, before } => (Problem::OfTwoUsers, [user(owner), user(before)]),
            DistrustReason::CreatedInOthersDir(before) => (Problem::MadeForAnother, [user(before), MessageArg::None]),
            DistrustReason::LogDirOfOtherUser(owner) => (Problem::OfAStranger, [user(owner), MessageArg::None]),
            DistrustReason::HardLink => (Problem::HardLink, [MessageArg::None, MessageArg::None]),
            DistrustReason::Replaced => (Problem::ReplacedMeanwhile, [MessageArg::None, MessageArg::None]),
        }
    }

    /// An error that says why the component is not trusted. Another error's message contains it as the reason.
    pub fn error(&self) -> Error {
        let (problem, [one, two]) = self.problem();
        Error::of(problem, self.name.as_bytes()).with_arg(one).with_arg(two)
    }
}

/// Writes why the component is not trusted, for records of the manager, without allocating memory.
impl fmt::Display for UntrustedComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (problem, [one, two]) = self.problem();
        FilledPhrase(problem.phrase(), &[MessageArg::Name(self.name.as_bytes()), one, two]).fmt(f)
    }
}

/// Where a component is in its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// Other components of the path follow it.
    #[default]
    NotLast,
    /// It is the last component of the path.
    Last,
}

/// Splits a path into its components: `/`, or `.` if it is relative, and then one name after another. Skips empty names
/// and `.`.
pub fn components(path: &[u8]) -> impl Iterator<Item = (&[u8], Position)> {
    let top = path.starts_with(b"/").then_some(&b"/"[..]);
    let first = if top.is_none() { Some(&b"."[..]) } else { top };
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let count = names.clone().count();
    let all = first.into_iter().chain(names);
    all.enumerate().map(move |(at, name)| (name, if at == count { Position::Last } else { Position::NotLast }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(owners: &[u32]) -> Result<(), DistrustReason> {
        let mut trust = PathTrustCheck::new(0, 0);
        owners
            .iter()
            .try_for_each(|owner| trust.check_next(Component { owner: *owner, hard_links: 9, in_shared_dir: false }))
    }

    #[test]
    fn a_path_never_leaves_what_belongs_to_a_user() {
        for owners in [&[0, 0, 0][..], &[0, 7], &[0, 7, 7, 7], &[7, 7], &[]] {
            assert_eq!(walk(owners), Ok(()), "{owners:?}");
        }
        for (owners, owner, before) in [(&[0, 7, 0][..], 0, 7), (&[0, 7, 8], 8, 7), (&[7, 0, 7], 0, 7)] {
            assert_eq!(walk(owners), Err(DistrustReason::OwnerChanged { owner, before }), "{owners:?}");
        }
    }

    #[test]
    fn the_owner_of_everything_is_trusted() {
        // In the user namespace of `unshare -r`, the host's root appears as user 65534.
        let mut trust = PathTrustCheck::new(0, 65534);
        for owner in [65534, 65534, 0, 65534] {
            assert_eq!(trust.check_next(Component { owner, hard_links: 1, in_shared_dir: true }), Ok(()));
        }
        let mut trust = PathTrustCheck::new(5, 0);
        for owner in [0, 5, 0, 5, 7] {
            assert_eq!(trust.check_next(Component { owner, hard_links: 1, in_shared_dir: true }), Ok(()));
        }
        assert_eq!(trust.required_owner(), Some(7));
    }

    #[test]
    fn a_second_name_where_others_may_write_is_refused() {
        for (hard_links, in_shared_dir, result) in
            [(1, true, Ok(())), (2, false, Ok(())), (2, true, Err(DistrustReason::HardLink))]
        {
            assert_eq!(PathTrustCheck::new(0, 0).check_next(Component { owner: 0, hard_links, in_shared_dir }), result);
        }
    }

    #[test]
    fn a_directory_is_shared_when_others_may_write_to_it() {
        let trust = PathTrustCheck::new(5, 0);
        for (owner, mode, shared) in
            [(0, 0o755, false), (5, 0o700, false), (7, 0o700, true), (0, 0o1777, true), (0, 0o775, true)]
        {
            assert_eq!(trust.is_shared_dir(owner, mode), shared, "{owner} {mode:o}");
        }
    }

    #[test]
    fn components_begin_with_the_place_that_the_path_starts_from() {
        for (path, found) in [
            ("/", &["/"][..]),
            ("/a", &["/", "a"]),
            ("//a//./b/", &["/", "a", "b"]),
            ("a/../b", &[".", "a", "..", "b"]),
            ("./a", &[".", "a"]),
            (".", &["."]),
            ("", &["."]),
        ] {
            let names: Vec<_> = components(path.as_bytes()).map(|(name, _)| name).collect();
            assert_eq!(names, found.iter().map(|name| name.as_bytes()).collect::<Vec<_>>(), "{path}");
            let last: Vec<_> = components(path.as_bytes()).map(|(_, last)| last).collect();
            let (end, inner) = last.split_last().unwrap();
            assert!(*end == Position::Last && inner.iter().all(|one| *one == Position::NotLast), "{path}");
        }
    }
}
