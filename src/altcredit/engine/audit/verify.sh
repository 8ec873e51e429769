#!/bin/sh
# Verifies an audit bundle: sh verify.sh [folder]
# RFC 9162: leaf = SHA-256(00 row), node = SHA-256(01 left right)
set -eu
export LC_ALL=C
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
cp "${1:-.}"/* "$t"
cd "$t"
bad() { echo "BROKEN: $*"; exit 1; }
sum() { openssl dgst -sha256 -r "$@" | cut -c1-64; }
of() { sed -n "s/.*\"$2\":\"*\([0-9a-f]*\).*/\1/p" $1.json; }
signed() {
  [ $(wc -c <$1.sig) -le 72 ] && openssl dgst -sha256 -verify $1.pem -signature $1.sig $1.json >o 2>&1 || bad $1.sig
  [ "$(sum $1.pem)" = "$(of $1 key_sha256)" ] || bad $1.pem
}
sums() (cd n; printf '%s\n' * | xargs openssl dgst -sha256 -r | cut -c1-64)
put() { cat >m; mv m $1; }
signed head
a=0
if [ -e start.json ]; then
  signed start
  a=$(of start tree_size)
  echo "$(sed 's/.*"peaks":\[\([^]]*\).*/\1/' start.json | tr -d '"' | tr , '\n')" >p
fi
: >gone
for f in purge-*.json; do
  [ -e $f ] || continue
  p=${f%.json}
  signed $p
  [ "$(sum $p.txt)" = "$(of $p leaves_sha256)" ] || bad $p.txt
  cat $p.txt >>gone
done
grep -v '^{' rows.jsonl | grep -vxFf gone && bad rows missing
mkdir n
i=100000000
while IFS= read -r l; do
  case $l in {*) printf '\000%s' "$l" >n/$i ;; esac
  printf '%s\n' "$l" >&3
  i=$((i + 1))
done <rows.jsonl 3>l
cmp -s rows.jsonl l || bad rows damaged
s=$((a + i - 100000000))
sums >h
awk '/^[{]/ { getline <"h" } 1' rows.jsonl >l
while :; do
  if [ $((a % 2)) = 1 ]; then
    tail -n 1 p | cat - l | put l
    sed '$d' p | put p
  fi
  a=$((a / 2))
  if [ $(wc -l <l) -gt 1 ]; then
    rm -r n
    mkdir n
    awk 'BEGIN { for (; i < 256; i++) o[sprintf("%02x", i)] = sprintf("\\%03o", i) }
      NR % 2 { p = $0; next }
      { s = ""; p = p $0; for (i = 1; i < 128; i += 2) s = s o[substr(p, i, 2)]; printf "printf %c\\001%s%c >n/%d\n", 39, s, 39, 1e9 + NR }
      END { printf NR % 2 ? p "\n" : "" >"c" }' l >w
    . ./w
    sums | cat - c | put l
  elif [ $a = 0 ]; then break; fi
done
[ "$s $(cat l)" = "$(of head tree_size) $(of head root)" ] || bad rows are not of head
echo "OK: $s rows, key $(of head key_sha256)"
