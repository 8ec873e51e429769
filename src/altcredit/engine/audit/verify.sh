#!/bin/sh
# Verifies the audit bundle in a folder (this one): sh verify.sh [folder]. Asks no server.
set -eu
export LC_ALL=C
cd "${1:-.}"
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
bad() { echo "BROKEN: $*"; exit 1; }
sum() { openssl dgst -sha256 -r "$1" | cut -c1-64; }
of() { sed -n "s/.*\"$2\":\"*\([0-9a-f]*\).*/\1/p" "$1.json"; }
signed() {
  openssl dgst -sha256 -verify "$1.pem" -signature "$1.sig" "$1.json" >"$t/o" 2>&1 || bad "signature of $1.json"
  [ "$(sum "$1.pem")" = "$(of "$1" key_sha256)" ] || bad "$1.pem"
}
hashes() { cd "$t/n"; printf '%s\n' * | xargs openssl dgst -sha256 -r | cut -c1-64; }
signed head
a=0
if [ -e start.json ]; then
  signed start
  a=$(of start tree_size)
  sed 's/.*"peaks":\[\([^]]*\).*/\1/' start.json | tr -d '"' | tr , '\n' >"$t/p"
fi
: >"$t/gone"
for f in purge-*.json; do
  [ -e "$f" ] || continue
  p=${f%.json}
  signed "$p"
  [ "$(sum "$p.txt")" = "$(of "$p" leaves_sha256)" ] || bad "$p.txt"
  cat "$p.txt" >>"$t/gone"
done
grep -v '^{' rows.jsonl | grep -vxFf "$t/gone" && bad "rows missing"
mkdir "$t/n"
i=1000000000
while IFS= read -r l; do
  case $l in {*) printf '\000%s' "$l" >"$t/n/$i" ;; esac
  printf '%s\n' "$l" >&3
  i=$((i + 1))
done <rows.jsonl 3>"$t/l"
cmp -s rows.jsonl "$t/l" || bad "rows.jsonl is damaged"
size=$((a + i - 1000000000))
(hashes) >"$t/h"
awk -v h="$t/h" '/^[{]/ { getline <h } 1' rows.jsonl >"$t/l"
while :; do
  if [ $((a % 2)) = 1 ]; then
    tail -n 1 "$t/p" | cat - "$t/l" >"$t/m" && mv "$t/m" "$t/l"
    sed '$d' "$t/p" >"$t/m" && mv "$t/m" "$t/p"
  fi
  a=$((a / 2))
  if [ "$(wc -l <"$t/l")" -gt 1 ]; then
    rm -rf "$t/n" && mkdir "$t/n"
    awk -v d="$t/n/" -v c="$t/c" 'BEGIN { printf "" >c; for (; i < 256; i++) o[sprintf("%02x", i)] = sprintf("\\%03o", i) }
      NR % 2 { p = $0; next }
      { s = ""; p = p $0; for (i = 1; i < 128; i += 2) s = s o[substr(p, i, 2)]; printf "printf %c\\001%s%c >%s%d\n", 39, s, 39, d, 1e9 + NR }
      END { if (NR % 2) print p >c }' "$t/l" >"$t/w"
    . "$t/w"
    (hashes) | cat - "$t/c" >"$t/m" && mv "$t/m" "$t/l"
  elif [ $a = 0 ]; then break; fi
done
[ "$size $(cat "$t/l")" = "$(of head tree_size) $(of head root)" ] || bad "the rows are not those of head.json"
echo "OK: $size rows sealed. Compare with the published key: $(of head key_sha256)"
