#!/bin/sh
# Verifies an audit bundle: sh verify.sh [folder]
# RFC 9162: leaf = SHA-256(00 row), node = SHA-256(01 left right)
set -eu
export LC_ALL=C
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cp "${1:-.}"/* "$t"
cd "$t"
mkdir n
a=0 j=0 p= keys=
bad() { echo "BROKEN: $*"; exit 1; }
of() { sed -n "s/.*\"$2\":\"*\([0-9a-f]*\).*/\1/p" $1.json; }
sums() { printf '%s\n' "$@" | xargs openssl dgst -sha256 -r | cut -c1-64; }
signed() {
  openssl dgst -sha256 -verify $1.pem -signature $1.sig $1.json >o 2>&1 && [ $(wc -c <$1.sig) -le 72 ] || bad $1.sig
  k=$(of $1 key_sha256)
  [ "$(sums $1.pem)" = "$k" ] || bad $1.pem
  case $keys in *$k*) ;; *) keys="$keys $k" ;; esac
}
signed head
if [ -e start.json ]; then
  signed start
  a=$(of start tree_size)
  p=$(sed 's/.*"peaks":\[\([^]]*\).*/\1/; s/"//g; s/,/ /g' start.json)
fi
: >gone
for f in purge-*.json; do
  [ -e $f ] || continue
  f=${f%.json}
  signed $f
  [ "$(sums $f.txt)" = "$(of $f leaves_sha256)" ] || bad $f.txt
  cat $f.txt >>gone
done
grep -v '^{' rows.jsonl | grep -vxFf gone && bad rows missing
s=$a
while IFS= read -r l; do
  case $l in {*) printf '\000%s' "$l" >n/0.$((1000000000 + s)) ;; esac
  printf '%s\n' "$l" >&3
  s=$((s + 1))
done <rows.jsonl 3>l
cmp -s rows.jsonl l || bad rows damaged
sums n/0.* >h 2>o
awk '/^[{]/ { getline <"h" } 1' rows.jsonl >l
while :; do
  f=
  [ $((a % 2)) = 0 ] || { f=${p##* } p=${p% *}; }
  a=$((a / 2)) j=$((j + 1))
  awk -v q=$f -v j=$j 'BEGIN { for (; i < 256; i++) o[sprintf("%02x", i)] = sprintf("\\%03o", i) }
    q == "" { q = $0; next }
    { s = ""; p = q $0; q = ""; for (i = 1; i < 128; i += 2) s = s o[substr(p, i, 2)]; printf "printf %c\\001%s%c >n/%d.%d\n", 39, s, 39, j, 1e9 + NR; k++ }
    END { print "c=" q " k=" k + 0 }' l >w
  . ./w
  if [ $k -gt 0 ]; then
    { sums n/$j.*; [ -z "$c" ] || echo $c; } >l
  elif [ $a = 0 ]; then break; fi
done
[ "$s $c" = "$(of head tree_size) $(of head root)" ] || bad rows are not of head
echo "OK: $s rows, key$keys"
