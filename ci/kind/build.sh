#!/bin/sh
# Compiles Kubernetes from Debian's source package, as one binary, and the cluster's small parts of our own. Runs inside
# a root of bookworm that has packages.build, and apt's lists of sources:
#   build.sh WORK OUT    WORK: where the source is unpacked; OUT: where the binaries go
set -eu
work=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$work"
ls -d "$work"/kubernetes-*/ >/dev/null 2>&1 || (cd "$work" && apt-get source -q --only-source kubernetes)
tree=$(echo "$work"/kubernetes-*/)

export CGO_ENABLED=0 GO111MODULE=off GOFLAGS= GOPATH=/go GOCACHE="${GOCACHE:-/var/cache/go}" HOME=/root
project=$GOPATH/src/k8s.io/kubernetes
mkdir -p "$(dirname "$project")" "$out"
[ -e "$project" ] || ln -s "$tree" "$project"
cd "$project"

# The vendored reflect2 reads what Go 1.18 has moved: kubeadm crashes. Debian's is newer.
rm -rf vendor/github.com/modern-go/reflect2
cp -RL /usr/share/gocode/src/github.com/modern-go/reflect2 vendor/github.com/modern-go/

# Waits that everybody who makes a cluster sits out: 10 s before the controller manager asks for nodes the first time,
# 5 s between two questions of kubeadm join. Both ask the same, sooner.
quicken() {
  sed -i "s/$2/$3/" "$1"
  grep -qF "$3" "$1" || { echo "$1 has no line like $2" >&2; exit 1; }
}
quicken pkg/controller/nodeipam/ipam/cidr_allocator.go 'wait\.Poll(10\*time\.Second' 'wait.PollImmediate(time.Second'
quicken cmd/kubeadm/app/constants/constants.go 'DiscoveryRetryInterval = 5 \* time\.Second' 'DiscoveryRetryInterval = time.Second'
quicken cmd/kubeadm/app/constants/constants.go 'TLSBootstrapRetryInterval = 5 \* time\.Second' 'TLSBootstrapRetryInterval = time.Second'

# What `make` would generate; everything else of the kind is in the package.
openapi=pkg/generated/openapi
if [ ! -e $openapi/zz_generated.openapi.go ]; then
  inputs=$(find cmd pkg plugin vendor/k8s.io/ -follow -name '*.go' -not -name '*_test.go' -not -path '*/testdata/*' \
    -not -path 'vendor/k8s.io/code-generator/*' -not -path 'vendor/k8s.io/sample-apiserver/*' \
    -not -path 'vendor/k8s.io/kube-openapi/*' -not -path 'vendor/k8s.io/gengo/*' \
    -exec grep -l '^// +k8s:openapi-gen=' {} + | xargs -n1 dirname | LC_ALL=C sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
  go build -o /tmp/openapi-gen ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  /tmp/openapi-gen --logtostderr -i "$inputs" -p "k8s.io/kubernetes/$openapi" -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r /tmp/openapi.violations
fi

# hack/lib/version.sh does this by git and by what `git archive` wrote into it.
version=$(sed -n "s/.*'tag: \(v[0-9.]*\)' =~.*/\1/p" hack/lib/version.sh)
minor=${version#v1.}
flags=
for package in client-go/pkg/version component-base/version; do
  for pair in "gitVersion=$version" gitMajor=1 "gitMinor=${minor%%.*}" gitTreeState=archive buildDate=1970-01-01T00:00:00Z; do
    flags="$flags -X k8s.io/kubernetes/vendor/k8s.io/$package.$pair"
  done
done

for source in "$here"/cmd/*/; do
  name=$(basename "$source")
  rm -rf "cmd/harness-$name"
  cp -R "$source" "cmd/harness-$name"
  go build -tags 'providerless dockerless' -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w $flags" \
    -o "$out/$name" "./cmd/harness-$name"
done
echo "$version" >"$out/version"
