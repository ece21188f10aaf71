abm_install() {
id='@ID@'
LC_ALL=C; export LC_ALL
say() { printf 'abm: %s\n' "$*"; }
fail() { say "$*"; return 1; }
umask 077

# Where Docker listens: what it says itself, then the usual places, rootless, snap and Podman.
docker=$(command -v docker || true)
for one in /usr/bin/docker /usr/local/bin/docker /snap/bin/docker /opt/homebrew/bin/docker
do [ -n "$docker" ] || { [ -x "$one" ] && docker=$one; }
done
case "$docker" in /*) ;; *) docker=docker ;; esac
named=${DOCKER_HOST:-}
[ -n "$named" ] || named=$("$docker" context inspect --format '{{.Endpoints.docker.Host}}' \
  2>/dev/null)
case "$named" in unix://*) named=${named#unix://} ;; *) named= ;; esac
run=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
sock=
for one in "$named" /var/run/docker.sock /run/docker.sock "$run/docker.sock" \
  "$HOME/.docker/run/docker.sock" "$HOME/.docker/desktop/docker.sock" \
  "$HOME/.orbstack/run/docker.sock" "$HOME/.colima/default/docker.sock" \
  "$HOME/.rd/docker.sock" "$run/podman/podman.sock" /run/podman/podman.sock
do
  [ -S "$one" ] || continue
  if [ -w "$one" ]; then sock=$one; break; fi
  [ -n "$sock" ] || sock=$one
done
found=$sock
[ -n "$sock" ] || sock=/var/run/docker.sock

# Where it keeps images: that disk is the one to watch.
root=$("$docker" -H "unix://$sock" info --format '{{.DockerRootDir}}' 2>/dev/null)
for one in "$root" /var/lib/docker /var/snap/docker/common/var-lib-docker \
  "$HOME/.local/share/docker" /volume1/@docker /var/lib/containers/storage \
  "$HOME/.local/share/containers/storage" /
do [ -d "$one" ] && { root=$one; break; }
done
case "$sock$root$docker" in
*[[:space:]\'\"\\\$\;\&\|\<\>\(\)\`,\*\?\[\]]*)
  fail "A path of Docker holds a letter that cannot stand in authorized_keys: $sock $root" ;;
esac || return 1

# The line: what this key may do, and nothing else.
q="'"
c=
@LINE@

# Into the file: other lines stay as they are, an older line of this host goes.
dir=$HOME/.ssh
file=$dir/authorized_keys
new=$file.abm.$$
mkdir -p "$dir" && chmod 700 "$dir" || { fail "$dir cannot be made."; return 1; }
: > "$new" || { fail "$dir cannot be written to."; return 1; }
if [ -e "$file" ]
then sed "/ $id\$/d" "$file" > "$new" || { rm -f "$new"; fail "$file cannot be read."; return 1; }
fi
[ -z "$(tail -c 1 "$new")" ] || echo >> "$new"
printf '%s\n' "$c" >> "$new" || { rm -f "$new"; fail "The disk is full."; return 1; }
if [ -h "$file" ]
then cat "$new" > "$file" && rm -f "$new"
else chmod 600 "$new" && mv -f "$new" "$file"
fi || { rm -f "$new"; fail "$file cannot be written to."; return 1; }
if command -v restorecon > /dev/null; then restorecon -R "$dir" 2> /dev/null; fi

say "The key is in $file."
me=$(id -un)
if [ -z "$found" ]
then say "No Docker was found. Install and start it, then run this once more."
elif [ -w "$sock" ]
then say "Docker listens at $sock and keeps its images below $root."
else say "$me may not use Docker at $sock. Run: sudo usermod -aG docker $me"
fi
case $(ls -ld "$HOME") in ?????w*|????????w*)
  say "Others may write to $HOME, so the SSH server refuses keys. Run: chmod go-w \"$HOME\"" ;;
esac
}
abm_install < /dev/null
