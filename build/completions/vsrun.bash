# bash completion for vsrun. Made from the table of options; all that is here about one of them comes from it.

# What an option takes: `name` is its long name, or nothing where it may be repeated; `values` are their kinds.
_vsrun_option() {
    name='' values=()
    case $1 in
        @OPTIONS@
    esac
}

_vsrun() {
    local IFS=$' \t\n'
    COMPREPLY=()

    # bash cuts words at `=` and `:` too. What no blank separates is one word.
    local words=('') line=${COMP_LINE:0:COMP_POINT} piece at
    for ((at = 0; at <= COMP_CWORD; at++)); do
        if ((at > 0)) && [[ $line == [[:blank:]]* ]]; then
            if [[ ${words[-1]} == -- ]]; then
                _vsrun_command "$at"
                return
            fi
            words+=('')
        fi
        line=${line#"${line%%[![:blank:]]*}"}
        piece=${COMP_WORDS[at]:0:${#line}}
        words[-1]+=$piece
        line=${line:${#piece}}
    done
    # bash replaces the last piece; what precedes it in the word must not be in the answers.
    local cur=${words[-1]} head=${words[-1]}
    [[ $piece == [=:] ]] || head=${cur%"$piece"}

    # The options before the cursor: which are given, and whose values are still to come.
    local word name values=() given=' ' pending=()
    for word in "${words[@]:1:${#words[@]}-2}"; do
        if ((${#pending[@]} > 0)); then
            pending=("${pending[@]:1}")
        elif [[ $word == --* ]]; then
            _vsrun_option "${word%%=*}"
            [[ $word == *=* ]] && values=("${values[@]:1}")
            given+="$name " pending=("${values[@]}")
        else
            # `-bp FILE`, `-bpFILE`: letters up to the first with a value, which may follow at once.
            while [[ $word == -?* ]]; do
                _vsrun_option "${word:0:2}"
                given+="$name " word=-${word:2}
                if ((${#values[@]} > 0)); then
                    [[ $word == - ]] || values=("${values[@]:1}")
                    pending=("${values[@]}")
                    break
                fi
            done
        fi
    done

    local prefix='' options=()
    if ((${#pending[@]} > 0)); then
        _vsrun_value "${pending[0]}"
    elif [[ $cur == --*=* ]]; then
        prefix=${cur%%=*}= cur=${cur#*=}
        _vsrun_option "${prefix%=}"
        ((${#values[@]} == 0)) || _vsrun_value "${values[0]}"
    else
        for word in @NAMES@; do
            _vsrun_option "$word"
            [[ $name && $given == *" $name "* ]] || options+=("$word")
        done
        # What follows the file of arguments may be the command's.
        [[ $cur == -* || $given != *" args "* ]] || _vsrun_value file
        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "${options[*]} --" -- "$cur")
    fi
    COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}

# Completes $cur as a value of this kind.
_vsrun_value() {
    case $1 in
        file) _vsrun_files ;;
        dir) _vsrun_files -d ;;
        user)
            if [[ $cur == *:* ]]; then
                mapfile -t COMPREPLY < <(compgen -P "${cur%%:*}:" -g -- "${cur#*:}")
            else
                mapfile -t COMPREPLY < <(compgen -u -- "$cur")
            fi
            ;;
        command)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -c -- "$cur" | sort -u)
            ;;
        inetaddr)
            if [[ $cur == /* ]]; then
                _vsrun_files
            else
                mapfile -t COMPREPLY < <(compgen -W '0.0.0.0 127.0.0.1 :: ::1' -- "$cur")
            fi
            ;;
        choices=*)
            name=${1#*=}
            mapfile -t COMPREPLY < <(compgen -W "${name//,/ }" -- "$cur")
            ;;
    esac
}

# Files, or with -d directories. bash-completion, where it is there, knows more of quoting.
_vsrun_files() {
    if declare -F _filedir >/dev/null; then
        _filedir "$@"
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen "${1:--f}" -- "$cur")
    fi
}

# Everything from this word on is another command's line.
_vsrun_command() {
    local cur=${COMP_WORDS[COMP_CWORD]} command
    for command in _comp_command_offset _command_offset; do
        if declare -F "$command" >/dev/null; then
            "$command" "$1"
            return
        fi
    done
    if ((COMP_CWORD == $1)); then
        _vsrun_value command
    else
        _vsrun_files
    fi
}

complete -F _vsrun vsrun
