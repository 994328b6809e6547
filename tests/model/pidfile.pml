/*
 * A model of the pidfile protocol for spin(1): two starts of vsrun, with or without a manager, one control command, and
 * other processes, which reuse pids. `tools/model` explores every order of their steps. Each step is one system call;
 * comments name the function of the program that makes it.
 *
 * The assertions:
 *  1. A signal is sent only to the server of the pidfile or to its manager.
 *  2. At most one instance runs at a time.
 *
 * Each of these macros plants a fault, which must violate an assertion:
 *  ONE_LOCK           a start locks the whole file at once, while it still contains the pid of an earlier start
 *  REAP_FIRST         the manager reaps the server before it empties the file
 *  NO_SECOND_LOOK     the control command does not read the file again after it has opened the pidfd
 *  BARE_PID           the control command sends the signal to the pid, and not through the pidfd
 *  NO_IDENTITY_CHECK  a start does not check that the path still leads to the file that it has locked
 *  UNLOCK_FIRST       the manager unlocks the file before it removes it
 *  BELIEVE_SHARED     the control command trusts the pid in a file with a server's shared lock without a check in /proc
 * These macros change the situation:
 *  NO_PROC            /proc is not mounted
 *  STARTS             three starts, and no control command and other processes
 */

/* The model's limits: pids, files, and processes that are started. */
#define PIDS 4
#define FILES 3
#define PROCESSES 5

mtype = { FREE, OTHER, MANAGER, CHILD, SERVER, ZOMBIE };

/* The processes, by pid. `serial` distinguishes two processes with the same pid, as a pidfd does. `file_of` is the file
 * that the process has open. */
mtype kind[PIDS + 1];
byte serial[PIDS + 1];
byte file_of[PIDS + 1];
byte parent[PIDS + 1];
byte started;

/* `path` is the file to which the path leads (0: none), `files` the number of files that have been created. The arrays
 * have for each file the pid in it, the starts that have locked the lower and the upper range, and the server that has a
 * shared lock. 0 is none. */
byte path;
byte files;
byte contents[FILES + 1];
byte low[FILES + 1];
byte high[FILES + 1];
byte shared[FILES + 1];

/* The instances that run. */
byte running;

/* Starts a process with the lowest free pid, which is assigned to `new_pid`. Blocks if there is none. */
inline start_process(new_pid, its_kind) {
    d_step {
        started < PROCESSES && (kind[1] == FREE || kind[2] == FREE || kind[3] == FREE || kind[4] == FREE);
        if
        :: kind[1] == FREE -> new_pid = 1
        :: else ->
            if
            :: kind[2] == FREE -> new_pid = 2
            :: else -> new_pid = (kind[3] == FREE -> 3 : 4)
            fi
        fi;
        started++;
        kind[new_pid] = its_kind;
        serial[new_pid] = started;
        file_of[new_pid] = 0;
        parent[new_pid] = 0
    }
}

#define locked(f) (low[f] != 0 || high[f] != 0 || shared[f] != 0)

/* True if /proc shows that this process has the file open and locked: it is the manager, its child before the exec, or a
 * server without a manager. */
#define has_lock(process, f) \
    (file_of[process] == f && locked(f) && (kind[process] == MANAGER || kind[process] == CHILD || \
        (kind[process] == SERVER && shared[f] == process)))

/* One start of vsrun. `id` is its number. The manager of start 1 may be killed at any time. */
proctype Start(byte id) {
    byte f, me, server;
    bool managed, counted;
    if
    :: managed = true
    :: managed = false
    fi;
    start_process(me, MANAGER);
    {
        skip;
open:
        /* runtime/resources/pidfile.rs, open_or_create() */
        if
        :: path == 0 && files == FILES -> goto leave
        :: atomic { path != 0 -> f = path }
        :: atomic { path == 0 && files < FILES -> files++; f = files; path = f }
        fi;
        /* lock_in_dir(): locks the upper range, which conflicts with every other lock */
        if
        :: locked(f) -> goto leave
        :: atomic {
                !locked(f) ->
                high[f] = id;
#ifdef ONE_LOCK
                low[f] = id;
#endif
                file_of[me] = f
            }
        fi;
#ifndef NO_IDENTITY_CHECK
        /* is_at(): does the path still lead to this file? */
        if
        :: path == f
        :: else -> d_step { high[f] = 0; low[f] = 0; file_of[me] = 0 }; goto open
        fi;
#endif
        /* ftruncate(2) deletes the pid of an earlier start. Only then the lower range is locked. */
        contents[f] = 0;
        d_step { low[f] = id; running++; counted = true; assert(running == 1) };
        if
        :: !managed -> goto becomes
        :: managed
        fi;
start_server: /* runtime/start/spawn.rs, spawn(): the child shares the lock until its exec */
        if
        :: started == PROCESSES -> goto stopped
        :: start_process(server, CHILD)
        fi;
        d_step { file_of[server] = f; parent[server] = me };
        /* Step::WriteManagedPid */
        contents[f] = server;
        /* Step::Exec */
        kind[server] = SERVER;
        /* the server exits, at any time */
        kind[server] = ZOMBIE;
        /* runtime/supervise/reap.rs: empty the file, then reap */
#ifdef REAP_FIRST
        d_step { kind[server] = FREE; server = 0 };
        contents[f] = 0;
#else
        contents[f] = 0;
        d_step { kind[server] = FREE; server = 0 };
#endif
        if
        :: goto start_server
        :: goto stopped
        fi;
stopped:
        skip;
        /* the server has exited */
        d_step { running--; counted = false };
#ifdef UNLOCK_FIRST
        d_step { low[f] = 0; high[f] = 0 };
#endif
        /* remove_file() */
        d_step {
            if
            :: path == f -> path = 0
            :: else
            fi
        };
#ifndef UNLOCK_FIRST
        d_step { low[f] = 0; high[f] = 0 };
#endif
        goto leave;
becomes:
        /* Step::KeepPidfileLock: write(), then share_lock() */
        contents[f] = me;
        d_step { low[f] = 0; high[f] = 0; shared[f] = me };
        kind[me] = SERVER;
        /* the server exits; its child may have inherited the lock, and keep it for a while */
        if
        :: d_step { running--; shared[f] = 0; kind[me] = ZOMBIE }
        :: d_step { running--; kind[me] = ZOMBIE };
           d_step { kind[me] = FREE; file_of[me] = 0; me = 0 };
           shared[f] = 0;
           goto finished
        fi;
leave:
        skip;
        d_step { kind[me] = FREE; file_of[me] = 0; me = 0 };
finished:
        skip
    }
    unless {
        /* The manager is killed, once. Its child keeps the lock until it executes the server or exits. */
        atomic {
            id == 1 && managed && me != 0 && counted && kind[me] == MANAGER;
            running--;
            counted = false;
            kind[me] = FREE;
            if
            :: server != 0 && kind[server] == ZOMBIE -> kind[server] = FREE; low[f] = 0; high[f] = 0
            :: server != 0 && kind[server] == SERVER -> parent[server] = 0; low[f] = 0; high[f] = 0
            :: server != 0 && kind[server] == CHILD -> parent[server] = 0
            :: else -> low[f] = 0; high[f] = 0
            fi
        };
        if
        :: server != 0 && kind[server] == CHILD ->
            /* The child continues without the manager. Other starts fail until it has released the lock. */
            contents[f] = server;
            atomic { kind[server] = SERVER; low[f] = 0; high[f] = 0 }
        :: else
        fi;
        if
        :: server != 0 && kind[server] == SERVER -> kind[server] = FREE
        :: else
        fi
    }
}

/* Other processes start and exit, and get free pids. */
proctype Others() {
    byte process;
end:
    do
    :: start_process(process, OTHER);
       atomic { kind[process] = FREE; process = 0 }
    od
}

/* A control command, --stop or --signal: logic/control.rs and runtime/control.rs. */
proctype Control() {
    byte f, file_pid, parent_pid, target, first_lock, second_lock, second_pid;
    byte target_serial, parent_serial;
    bool pid_has_lock, parent_has_lock;
    /* open() */
    f = path;
    if
    :: f == 0 -> goto done
    :: else
    fi;
    /* state(): reads the lock first, then the contents. 0: no lock, 1: exclusive lock, 2: shared lock, 3: only the
     * upper range is locked, so the pid in the file is not valid. */
    first_lock = (shared[f] != 0 -> 2 : (low[f] != 0 -> 1 : (high[f] != 0 -> 3 : 0)));
    file_pid = (first_lock == 3 -> 0 : contents[f]);
    if
    :: first_lock == 0 || file_pid == 0 -> goto done
    :: else
    fi;
    /* identify_server(): pidfd_open(2), then /proc */
    target_serial = (kind[file_pid] == FREE -> 0 : serial[file_pid]);
    target = file_pid;
#ifdef NO_PROC
#ifndef BELIEVE_SHARED
    if
    :: first_lock == 2 -> goto done
    :: else
    fi;
#endif
#else
    atomic { pid_has_lock = has_lock(file_pid, f); parent_pid = parent[file_pid] };
    parent_serial = (kind[parent_pid] == FREE -> 0 : serial[parent_pid]);
    parent_has_lock = (parent_pid != 0 && has_lock(parent_pid, f));
    if
    :: first_lock == 1 && parent_has_lock -> target = parent_pid; target_serial = parent_serial
    :: else ->
        if
        :: pid_has_lock
        :: else -> goto next
        fi
    fi;
#endif
#ifndef NO_SECOND_LOOK
    /* find_lock_holder(): state() again; it must return the same */
    second_lock = (shared[f] != 0 -> 2 : (low[f] != 0 -> 1 : (high[f] != 0 -> 3 : 0)));
    second_pid = (second_lock == 3 -> 0 : contents[f]);
    if
    :: first_lock == second_lock && file_pid == second_pid
    :: else -> goto next
    fi;
#endif
    /* send(): pidfd_send_signal(2). It fails with ESRCH if that process has been reaped. */
    atomic {
        if
#ifdef BARE_PID
        :: kind[target] != FREE -> assert(kind[target] != OTHER && file_of[target] == f)
#else
        :: kind[target] != FREE && serial[target] == target_serial ->
            assert(kind[target] != OTHER && file_of[target] == f)
#endif
        :: else
        fi
    };
    goto done;
next:   /* find_lock_holder() tries again, a limited number of times: each attempt is like another command */
done:
    skip;
    /* reset the variables, so that spin does not distinguish states by them */
    d_step {
        f = 0; file_pid = 0; parent_pid = 0; target = 0; first_lock = 0; second_lock = 0; second_pid = 0;
        target_serial = 0; parent_serial = 0; pid_has_lock = false; parent_has_lock = false
    }
}

init {
    kind[0] = FREE; kind[1] = FREE; kind[2] = FREE; kind[3] = FREE; kind[4] = FREE;
#ifdef STARTS
    atomic { run Start(1); run Start(2); run Start(3) }
#else
    atomic { run Start(1); run Start(2); run Others(); run Control() }
#endif
}
