abm_remove() {
file=$HOME/.ssh/authorized_keys
[ -f "$file" ] || { echo "abm: There is no $file."; return; }
new=$file.abm.$$
LC_ALL=C; export LC_ALL
umask 077
sed "/ @ID@\$/d" "$file" > "$new" && cat "$new" > "$file" && echo "abm: Its key is gone from $file."
rm -f "$new"
}
abm_remove < /dev/null
