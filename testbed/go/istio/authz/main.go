// Command authz prints the filters that istiod makes of policies for one workload.
//
// It reads cases from stdin, a JSON object a line, and prints an answer for each, in the same order: Envoy's own JSON of the filters of
// HTTP and of TCP, or why istiod's webhook would refuse an object. No cluster, no network: what decides is istiod's own code.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	configmemory "istio.io/istio/pilot/pkg/config/memory"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking"
	"istio.io/istio/pilot/pkg/networking/plugin/authz"
	"istio.io/istio/pilot/pkg/security/authn"
	"istio.io/istio/pilot/pkg/serviceregistry/memory"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/log"
)

// A case is some kilobytes.
const limit = 16 << 20

// question is one mesh and one workload of it.
type question struct {
	TrustDomain string            `json:"trustDomain"`
	Aliases     []string          `json:"trustDomainAliases"`
	Objects     []json.RawMessage `json:"objects"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels"`
}

// answer holds filters in their order; Refused says that there are none, and why.
type answer struct {
	HTTP    []json.RawMessage `json:"http"`
	TCP     []json.RawMessage `json:"tcp"`
	Refused string            `json:"refused,omitempty"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	// Answers alone are on stdout.
	logs := log.DefaultOptions()
	logs.OutputPaths = []string{"stderr"}
	if err := log.Configure(logs); err != nil {
		return err
	}
	// Keys stand in the objects themselves: nothing is ever fetched.
	keys := model.NewJwksResolver(time.Hour, time.Hour, time.Hour, time.Hour)
	defer keys.Close()
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, limit)
	out := json.NewEncoder(os.Stdout)
	for scanner.Scan() {
		var asked question
		if err := json.Unmarshal(scanner.Bytes(), &asked); err != nil {
			return err
		}
		found, err := decide(asked, keys)
		if err != nil {
			return err
		}
		if err := out.Encode(found); err != nil {
			return err
		}
	}
	return scanner.Err()
}

func decide(asked question, keys *model.JwksResolver) (answer, error) {
	store := configmemory.NewController(configmemory.Make(collections.Pilot))
	for _, object := range asked.Objects {
		parsed, unknown, err := crd.ParseInputs(string(object))
		if err == nil && (len(parsed) != 1 || len(unknown) != 0) {
			return answer{}, fmt.Errorf("not an object of Istio: %s", object)
		}
		if err == nil {
			_, err = store.Create(parsed[0])
		}
		if err != nil {
			return answer{Refused: err.Error()}, nil
		}
	}
	push := newPush(asked, store)
	push.JwtKeyResolver = keys
	proxy := &model.Proxy{
		Type: model.SidecarProxy, ConfigNamespace: asked.Namespace, Labels: asked.Labels,
		Metadata: &model.NodeMetadata{Namespace: asked.Namespace, Labels: asked.Labels},
	}
	policies := authz.NewBuilder(authz.Local, push, proxy, false)
	var filters []*hcm.HttpFilter
	if tokens := authn.NewPolicyApplier(push, proxy, nil).JwtFilter(false); tokens != nil {
		filters = append(filters, tokens)
	}
	filters = append(filters, policies.BuildHTTP(networking.ListenerClassSidecarInbound)...)
	http, err := written(filters)
	if err != nil {
		return answer{}, err
	}
	tcp, err := written[*listener.Filter](policies.BuildTCP())
	return answer{HTTP: http, TCP: tcp}, err
}

// newPush is what istiod knows when it answers a proxy.
func newPush(asked question, store model.ConfigStoreController) *model.PushContext {
	config := mesh.DefaultMeshConfig()
	config.TrustDomain, config.TrustDomainAliases = asked.TrustDomain, asked.Aliases
	env := environment(config, store)
	push := model.NewPushContext()
	push.InitContext(env, nil, nil)
	return push
}

func environment(config *meshconfig.MeshConfig, store model.ConfigStoreController) *model.Environment {
	env := model.NewEnvironment()
	env.Watcher = meshwatcher.NewTestWatcher(config)
	env.NetworksWatcher = meshwatcher.NewFixedNetworksWatcher(nil)
	env.ServiceDiscovery = memory.NewServiceDiscovery()
	env.ConfigStore = store
	env.VirtualServiceController = model.NewVirtualServiceController(store, model.VSControllerOptions{KrtDebugger: krt.GlobalDebugHandler}, env.Watcher)
	stop := make(chan struct{})
	defer close(stop)
	go store.Run(stop)
	go env.VirtualServiceController.Run(stop)
	kube.WaitForCacheSync("authz", stop, store.HasSynced, env.VirtualServiceController.HasSynced)
	env.Init()
	return env
}

func written[T proto.Message](filters []T) ([]json.RawMessage, error) {
	found := []json.RawMessage{}
	for _, filter := range filters {
		text, err := protojson.Marshal(filter)
		if err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, nil
}
