//! The resources that a start has acquired, and releases when it fails: pidfiles, Unix sockets, and the control group.

use super::cgroup::Cgroup;
use super::pidfile::{self, Pidfile};
use super::socket_file::InstanceExclusivity;
use super::sockets::SocketFiles;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::base::error::{Error, Result};
use crate::logic::base::problem::Problem;
use crate::logic::formats::cgroup::ServerCgroup;
use crate::logic::plan::planner::Plan;
use crate::logic::plan::socket_activation::ServerSockets;

/// The resources that a start has acquired so far.
pub struct StartResources {
    /// The listening sockets.
    pub sockets: SocketFiles,
    /// The server's control group, if it has one.
    pub cgroup: Option<Cgroup>,
    /// The pidfiles of the server and the manager.
    pub pidfiles: [Option<Pidfile>; 2],
}

impl StartResources {
    /// Creates the control group and opens the sockets. A locked pidfile proves that no other instance is running.
    ///
    /// # Errors
    /// When the group cannot be created, or an address cannot be bound.
    pub fn acquire_cgroup_and_sockets(&mut self, listen: &ServerSockets, cgroup: Option<&ServerCgroup>) -> Result<()> {
        self.cgroup = cgroup.map(Cgroup::acquire).transpose()?;
        let exclusivity = if self.pidfiles.iter().any(Option::is_some) {
            InstanceExclusivity::Proven
        } else {
            InstanceExclusivity::Unknown
        };
        self.sockets.bind(listen, exclusivity)
    }

    /// True if there is nothing to undo.
    pub fn is_empty(&self) -> bool {
        self.cgroup.is_none() && !self.sockets.has_files() && self.pidfiles.iter().all(Option::is_none)
    }

    /// Removes what was created. The socket files are removed first, while the locked pidfiles still keep other starts
    /// out.
    pub fn remove_all(&self) {
        self.remove_files();
        self.remove_cgroup();
    }

    /// Removes the socket files and the pidfiles, but not the control group: a process in the group cannot remove it.
    pub fn remove_files(&self) {
        self.sockets.remove();
        self.pidfiles.iter().flatten().for_each(Pidfile::remove_file);
    }

    /// Removes the control group, if vsrun has created it.
    pub fn remove_cgroup(&self) {
        self.cgroup.iter().for_each(Cgroup::remove_if_created);
    }
}

/// The paths of the server's and the manager's pidfile.
///
/// # Errors
/// Wrong usage when both are the same file.
pub fn pidfile_paths(plan: &Plan) -> Result<[Option<StaticCStr>; 2]> {
    let paths = [plan.pidfile, plan.supervision.as_ref().and_then(|supervision| supervision.manager_pidfile)];
    if let [Some(server), Some(manager)] = paths
        && pidfile::is_same_path(server, manager)
    {
        return Err(Error::new(Problem::SamePidfile));
    }
    Ok(paths)
}

/// Locks the pidfiles of server and manager. If the manager's cannot be locked, removes the server's.
///
/// # Errors
/// When both are the same file, or another process has locked one.
pub fn acquire_both_pidfiles(plan: &Plan) -> Result<[Option<Pidfile>; 2]> {
    let [server, manager] = pidfile_paths(plan)?;
    let server = Pidfile::acquire_if(server)?;
    match Pidfile::acquire_if(manager) {
        Ok(manager) => Ok([server, manager]),
        Err(error) => {
            server.iter().for_each(Pidfile::remove_file);
            Err(error)
        }
    }
}
