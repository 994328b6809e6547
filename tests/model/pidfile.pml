/*
 * The protocol of pidfiles, as a model for spin(1): two starts of vsrun, with or without a manager, one control command,
 * and a machine that reuses pids. `tools/model` explores every interleaving; each step here is one system call, and the
 * function of the program that makes it is named beside it.
 *
 * What must hold, whatever the order:
 *  1. A signal goes to no process except the server of this file, or its manager.
 *  2. At most one instance runs at a time.
 *
 * Each of these macros plants a fault, which the exploration has to find:
 *  ONE_LOCK           the whole file is locked at once, while it still names the process of an earlier start
 *  REAP_FIRST         the manager reaps the server before it empties the file
 *  NO_SECOND_LOOK     the control command does not read the file again after it has opened the pidfd
 *  BARE_PID           it signals the pid, and not the pidfd
 *  NO_IDENTITY_CHECK  a start does not check that the path still names the file that it has locked
 *  UNLOCK_FIRST       the manager unlocks the file before it removes it
 *  BELIEVE_SHARED     the number under a server's own shared lock is believed without a look into /proc
 * NO_PROC: /proc is not mounted.
 */

#define PIDS 4
#define FILES 3
#define BIRTHS 5

mtype = { FREE, OTHER, MANAGER, CHILD, SERVER, ZOMBIE };

/* The processes, by pid; `birth` distinguishes two processes with the same pid, as a pidfd does. */
mtype kind[PIDS + 1];
byte birth[PIDS + 1];
byte file_of[PIDS + 1];
byte parent[PIDS + 1];
byte births;

/* The file that the path names (0: none), and the contents and locks of each file: the start that holds each range. */
byte path;
byte files;
byte contents[FILES + 1];
byte low[FILES + 1];
byte high[FILES + 1];
byte shared[FILES + 1];

byte running;

inline be_born(it, what) {
    d_step {
        births < BIRTHS && (kind[1] == FREE || kind[2] == FREE || kind[3] == FREE || kind[4] == FREE);
        if
        :: kind[1] == FREE -> it = 1
        :: else ->
            if
            :: kind[2] == FREE -> it = 2
            :: else -> it = (kind[3] == FREE -> 3 : 4)
            fi
        fi;
        births++;
        kind[it] = what;
        birth[it] = births;
        file_of[it] = 0;
        parent[it] = 0
    }
}

#define locked(f) (low[f] != 0 || high[f] != 0 || shared[f] != 0)

/* A process shows in /proc that it has this file open and locked: the manager, its child before the exec, or a server
 * without a manager. */
#define has_lock(it, f) \
    (file_of[it] == f && locked(f) && (kind[it] == MANAGER || kind[it] == CHILD || \
        (kind[it] == SERVER && shared[f] == it)))

/* One start. `id` is 1 or 2. KILL may hit it at any time. */
proctype Start(byte id) {
    byte f, me, server;
    bool managed, counted;
    if
    :: managed = true
    :: managed = false
    fi;
    be_born(me, MANAGER);
    {
        skip;
open:
        /* runtime/resources/pidfile.rs, open(): what the path names, or a new file */
        if
        :: path == 0 && files == FILES -> goto leave
        :: atomic { path != 0 -> f = path }
        :: atomic { path == 0 && files < FILES -> files++; f = files; path = f }
        fi;
        /* take(): lock the upper range, which conflicts with every other lock */
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
        /* is_at() */
        if
        :: path == f
        :: else -> d_step { high[f] = 0; low[f] = 0; file_of[me] = 0 }; goto open
        fi;
#endif
        /* ftruncate(2): the number of an earlier start is deleted, and only then the rest of the file is locked */
        contents[f] = 0;
        d_step { low[f] = id; running++; counted = true; assert(running == 1) };
        if
        :: !managed -> goto becomes
        :: managed
        fi;
start_server: /* runtime/start/spawn.rs, spawn(): the child shares the lock until its exec */
        if
        :: births == BIRTHS -> goto stopped
        :: be_born(server, CHILD)
        fi;
        d_step { file_of[server] = f; parent[server] = me };
        /* Step::WriteManagedPid */
        contents[f] = server;
        /* Step::Exec */
        kind[server] = SERVER;
        /* its exit, at any time */
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
        /* the server is gone */
        d_step { running--; counted = false };
#ifdef UNLOCK_FIRST
        d_step { low[f] = 0; high[f] = 0 };
#endif
        /* release() */
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
        /* its exit; a child may have inherited the lock, and keep it for a while */
        if
        :: d_step { running--; shared[f] = 0; kind[me] = ZOMBIE }
        :: d_step { running--; kind[me] = ZOMBIE };
           d_step { kind[me] = FREE; file_of[me] = 0; me = 0 };
           shared[f] = 0;
           goto over
        fi;
leave:
        skip;
        d_step { kind[me] = FREE; file_of[me] = 0; me = 0 };
over:
        skip
    }
    unless {
        /* KILL of the manager, once. Its child keeps the lock until it execs or exits. */
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
            /* The child goes on by itself. The next start waits until the lock is gone. */
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

/* Other processes come and go, with the pids that are free. */
proctype Others() {
    byte it;
end:
    do
    :: be_born(it, OTHER);
       atomic { kind[it] = FREE; it = 0 }
    od
}

/* logic/control.rs and runtime/control.rs: --stop or --signal. */
proctype Control() {
    byte f, number, above, target, first, second, again;
    byte born, above_born;
    bool held, above_held;
    /* Pidfile::open() */
    f = path;
    if
    :: f == 0 -> goto done
    :: else
    fi;
    /* state(): the lock first, then the contents. 1: exclusive, 2: shared, 0: none. Where the lower range is not locked
     * yet, the number is none. */
    first = (shared[f] != 0 -> 2 : (low[f] != 0 -> 1 : (high[f] != 0 -> 3 : 0)));
    number = (first == 3 -> 0 : contents[f]);
    if
    :: first == 0 || number == 0 -> goto done
    :: else
    fi;
    /* identify(): pidfd_open(2), then /proc */
    born = (kind[number] == FREE -> 0 : birth[number]);
    target = number;
#ifdef NO_PROC
#ifndef BELIEVE_SHARED
    if
    :: first == 2 -> goto done
    :: else
    fi;
#endif
#else
    atomic { held = has_lock(number, f); above = parent[number] };
    above_born = (kind[above] == FREE -> 0 : birth[above]);
    above_held = (above != 0 && has_lock(above, f));
    if
    :: first == 1 && above_held -> target = above; born = above_born
    :: else ->
        if
        :: held
        :: else -> goto next
        fi
    fi;
#endif
#ifndef NO_SECOND_LOOK
    /* examine(): the same once more */
    second = (shared[f] != 0 -> 2 : (low[f] != 0 -> 1 : (high[f] != 0 -> 3 : 0)));
    again = (second == 3 -> 0 : contents[f]);
    if
    :: first == second && number == again
    :: else -> goto next
    fi;
#endif
    /* send(): pidfd_send_signal(2). ESRCH if that process has been reaped. */
    atomic {
        if
#ifdef BARE_PID
        :: kind[target] != FREE -> assert(kind[target] != OTHER && file_of[target] == f)
#else
        :: kind[target] != FREE && birth[target] == born ->
            assert(kind[target] != OTHER && file_of[target] == f)
#endif
        :: else
        fi
    };
    goto done;
next:   /* examine() looks again, a limited number of times: as another command does */
done:
    skip;
    /* what this command has seen plays no role any more */
    d_step {
        f = 0; number = 0; above = 0; target = 0; first = 0; second = 0; again = 0;
        born = 0; above_born = 0; held = false; above_held = false
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
