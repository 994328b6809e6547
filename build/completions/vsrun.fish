# fish completion for vsrun. Made from the table of options; all that is here about one of them comes from it.

# Whether the cursor is behind the `--` that ends the options. No value of an option can be `--`.
function __vsrun_in_command
    contains -- -- (commandline -opc)
end

function __vsrun_command
    set -l words (commandline -opc) (commandline -ct)
    set -l at (contains -i -- -- $words)
    __fish_complete_subcommand --commandline $words[(math $at + 1)..]
end

# Whether the cursor is at the second value of an option: $argv are the option's names.
function __vsrun_second
    set -l words (commandline -opc)
    __vsrun_in_command
    and return 1
    string match -qr -- '^--[^=]*=' $words[-1]
    and contains -- (string replace -r '=.*' '' -- $words[-1]) $argv
    or contains -- $words[-2] $argv
end

# Whether the cursor is at neither of these.
function __vsrun_in_options
    not __vsrun_in_command
    and not __vsrun_second @SECOND@
end

# Whether a word that is no option may be the command's: behind the file of arguments.
function __vsrun_args
    __vsrun_in_options
    and string match -qr -- '^--args(=|$)' (commandline -opc)
end

function __vsrun_users
    set -l word (commandline -ct | string replace -r '^-[^=]*=' '')
    if string match -q '*:*' -- $word
        set -l user (string replace -r ':.*' '' -- $word)
        __fish_complete_groups | string replace -r '^' $user:
    else
        __fish_complete_users
    end
end

complete -c vsrun -f
complete -c vsrun -n __vsrun_in_command -a '(__vsrun_command)'
complete -c vsrun -n __vsrun_args -F
complete -c vsrun -n __vsrun_in_options -a -- -d 'the command follows'
@OPTIONS@
