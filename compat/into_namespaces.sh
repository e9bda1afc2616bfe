# sh into_namespaces.sh CHECKOUT COMMAND...
# In new namespaces: bring the loopback interface up, put an empty /tmp and the new /proc in place, become the command.
set -e
checkout=$1
shift
ip link set lo up
new=$checkout/build/compat/tmp
mkdir -p "$new"
mount -t tmpfs -o mode=1777 tmpfs "$new"
# A checkout in /tmp stays where it is.
case $checkout in
    /tmp/*)
        mkdir -p "$new/${checkout#/tmp/}"
        mount --bind "$checkout" "$new/${checkout#/tmp/}"
        ;;
esac
mount --move "$new" /tmp
mount -t proc proc /proc
cd "$PWD"
exec "$@"
