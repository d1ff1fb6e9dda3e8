package lora

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"dla/internal/model"
	"dla/internal/weights"
)

// adapter_config.json has the fields of PEFT's LoraConfig, of which each version adds some. A key that changes what
// an adapter computes is read here, or its value must be the one that changes nothing. So a key that is not known is
// an error as soon as it says something.

// settings are the keys that are read.
type settings struct {
	PeftType    string   `json:"peft_type"`
	TaskType    string   `json:"task_type"`
	AutoMapping mapping  `json:"auto_mapping"`
	Base        string   `json:"base_model_name_or_path"`
	Revision    string   `json:"revision"` // of the base
	Rank        int      `json:"r"`
	Alpha       float64  `json:"lora_alpha"`
	Dropout     float64  `json:"lora_dropout"` // in training
	Targets     modules  `json:"target_modules"`
	Excluded    modules  `json:"exclude_modules"`
	Only        indices  `json:"layers_to_transform"`
	Stacks      names    `json:"layers_pattern"` // what the layers' numbers stand behind
	Ranks       patterns `json:"rank_pattern"`
	Alphas      patterns `json:"alpha_pattern"`
	RSLoRA      bool     `json:"use_rslora"`
	Bias        string   `json:"bias"`      // the encoder's own biases that were trained
	LoRABias    bool     `json:"lora_bias"` // B has a bias
	Init        initial  `json:"init_lora_weights"`
}

// read are the keys of settings, harmless those that do not change what an adapter computes: the first are notes,
// the next steer training or the first values alone, which the file replaces (modules_to_save: the file shows what
// was saved), and the last do nothing without another key or on these encoders' linear layers.
var (
	read = []string{"peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "r", "lora_alpha",
		"lora_dropout",
		"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "use_rslora", "bias",
		"lora_bias", "init_lora_weights"}
	harmless = []string{"peft_version", "inference_mode",
		"modules_to_save", "eva_config", "corda_config", "lora_ga_config", "loftq_config", "runtime_config", "merge_weights",
		"megatron_core", "qalora_group_size", "fan_in_fan_out", "ensure_weight_tying"}
)

// Remedies for what PEFT computes and this program does not.
const (
	mergeIt   = "merge the adapter into its model with PEFT (merge_and_unload, then save_pretrained) and name that folder"
	convertIt = "save it with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…), which makes it an adapter of the unchanged model"
)

// readSettings reads adapter_config.json. What is malformed, of another kind or not computed here is an error that
// names the key.
func readSettings(b []byte) (settings, error) {
	s := settings{Rank: 8, Alpha: 8, Bias: "none"} // PEFT's, where a key is missing
	if err := weights.UniqueKeys(b); err != nil {
		return s, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return s, err
	}
	var keys []string
	for key := range all {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !slices.Contains(read, key) && !slices.Contains(harmless, key) && !neutral(all[key]) {
			return s, fmt.Errorf("%s is %.100s, which is not computed here; %s", key, all[key], mergeIt)
		}
	}
	for _, key := range keys { // one by one: an error names its key
		if !slices.Contains(read, key) {
			continue
		}
		one, err := json.Marshal(map[string]json.RawMessage{key: all[key]})
		if err == nil {
			err = json.Unmarshal(one, &s)
		}
		if err != nil {
			return s, fmt.Errorf("%s is %.100s: %w", key, all[key], err)
		}
	}
	return s, s.check()
}

// neutral says whether a value says nothing: null, false or empty.
func neutral(v json.RawMessage) bool {
	var x any
	if json.Unmarshal(v, &x) != nil {
		return false
	}
	switch x := x.(type) {
	case nil:
		return true
	case bool:
		return !x
	case string:
		return x == ""
	case []any:
		return len(x) == 0
	case map[string]any:
		return len(x) == 0
	}
	return false
}

// check names the first setting that cannot be.
func (s settings) check() error {
	switch {
	case s.PeftType != "LORA":
		return fmt.Errorf("peft_type is %q, want LORA", s.PeftType)
	case s.TaskType != "" && s.TaskType != "SEQ_CLS":
		return fmt.Errorf("task_type is %q, want SEQ_CLS: adapters are read as classifiers of sentences", s.TaskType)
	case strings.Contains(s.AutoMapping.Class, "For") && !strings.HasSuffix(s.AutoMapping.Class,
		"ForSequenceClassification"):
		return fmt.Errorf("auto_mapping says that the model is a %s; adapters are read as classifiers of sentences",
			s.AutoMapping.Class)
	case s.Revision != "" && s.Revision != "main":
		return fmt.Errorf("revision is %q: one folder of the base is looked for, by its name; put the folder of that revision into base_model_name_or_path and null into revision", s.Revision)
	case s.Bias != "none" && s.Bias != "all" && s.Bias != "lora_only":
		return fmt.Errorf("bias is %q, want none, all or lora_only", s.Bias)
	case len(s.Stacks) > 0 && !s.Only.set:
		return fmt.Errorf("layers_pattern is %q without layers_to_transform, which PEFT refuses", []string(s.Stacks))
	case s.Targets.re != nil && (s.Only.set || len(s.Stacks) > 0):
		return fmt.Errorf("target_modules is a regular expression beside layers_to_transform, which PEFT refuses")
	case !(s.Dropout >= 0 && s.Dropout <= 1):
		return fmt.Errorf("lora_dropout is %g, want 0 to 1", s.Dropout)
	}
	return s.Init.check()
}

// layers are the linear layers of e that s adapts, as PEFT finds them where the encoder's modules are called
// prefix and their name here. The layers of a head are not among them.
func (s settings) layers(e *model.Encoder, prefix string) ([]layer, error) {
	stacks, err := s.Stacks.compile()
	if err != nil {
		return nil, fmt.Errorf("layers_pattern: %w", err)
	}
	var all []layer
	for _, l := range linears(e) {
		key := prefix + l.name
		if !s.targeted(key, stacks) {
			continue
		}
		rank := s.Ranks.of(key, float64(s.Rank))
		alpha := s.Alphas.of(key, s.Alpha)
		if rank != math.Trunc(rank) {
			return nil, fmt.Errorf("rank_pattern: the rank of %s is %g, want a whole number", key, rank)
		}
		l.rank = int(min(max(rank, 0), maxRank+1))
		if err := checkRank(l.rank, alpha); err != nil {
			return nil, fmt.Errorf("layer %s: %w", key, err)
		}
		l.scale = alpha / rank
		if s.RSLoRA {
			l.scale = alpha / math.Sqrt(rank)
		}
		if s.Init.ofBase() {
			l.rank = min(l.rank, l.in, l.out) // a matrix has no more singular values
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		var ends []string
		for _, l := range linears(e)[:min(kinds, kinds*e.Layers)] {
			_, end, _ := strings.Cut(l.name, ".0.")
			ends = append(ends, end)
		}
		return nil, fmt.Errorf("target_modules is %s, which, with what is excluded, names none of the linear layers of %s: %s", s.Targets, e.Family, strings.Join(ends, ", "))
	}
	return all, nil
}

// firstNumber finds the number of a layer in the name of a module of it.
var firstNumber = regexp.MustCompile(`^.*?\.[^.]*\.(\d+)\.`)

// targeted says whether PEFT adapts the module called key: its check_target_module_exists.
func (s settings) targeted(key string, stacks []*regexp.Regexp) bool {
	if s.Excluded.match(key) {
		return false
	}
	if !s.Targets.match(key) {
		return false
	}
	if !s.Only.set || s.Targets.re != nil || slices.Contains(s.Targets.list, key) { // a full name stands by itself
		return true
	}
	if len(stacks) == 0 {
		stacks = []*regexp.Regexp{firstNumber}
	}
	for _, re := range stacks {
		if m := re.FindStringSubmatch(key); m != nil {
			return s.Only.has(m[len(m)-1])
		}
	}
	return false
}

// compile are the patterns of the module lists whose numbers count the layers.
func (n names) compile() ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for _, name := range n {
		if _, err := expression(name, `%s`); err != nil {
			return nil, err
		}
		re, err := expression(name, `^(?:.*?\.)?(?:%s)\.(\d+)\.`)
		if err != nil {
			return nil, err
		}
		all = append(all, re)
	}
	return all, nil
}

// maxPattern bounds a regular expression, maxPatterns how many of them a file may have.
const (
	maxPattern  = 1 << 12
	maxPatterns = 1 << 11
)

// expression is pattern, a regular expression of Python's, within another. Where Go's differ or take memory that the
// file's size does not bound (counted repetitions), it is refused.
func expression(pattern, within string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern || strings.Contains(pattern, "{") || strings.Contains(pattern, "[:") {
		return nil, fmt.Errorf("the regular expression %.100q is not read here (counted repetitions, classes by name and more than %d bytes are not); name the modules", pattern, maxPattern)
	}
	if _, err := regexp.Compile(pattern); err != nil { // before it is wrapped: its brackets are its own
		return nil, fmt.Errorf("%w; name the modules", err)
	}
	return regexp.Compile(fmt.Sprintf(within, pattern))
}

// mapping is auto_mapping, which names the class of a model that has no task_type.
type mapping struct {
	Class string `json:"base_model_class"`
}

// modules says which modules a key means: those in a list, by their full name or its ending, or those whose whole
// name a regular expression matches.
type modules struct {
	list names
	re   *regexp.Regexp
	text string // as it stands
}

// everyLinear is what PEFT calls all linear layers, in small or capital letters.
const everyLinear = "all-linear"

func (m *modules) UnmarshalJSON(b []byte) error {
	m.text = string(b)
	var one *string
	if json.Unmarshal(b, &one) != nil {
		return json.Unmarshal(b, (*[]string)(&m.list))
	}
	if one == nil || *one == "" {
		return nil
	}
	pattern := *one
	if strings.EqualFold(pattern, everyLinear) {
		pattern = ".*"
	}
	var err error
	m.re, err = expression(pattern, `^(?:%s)$`)
	return err
}

func (m modules) String() string {
	if m.text == "" {
		return "missing"
	}
	return fmt.Sprintf("%.200s", m.text)
}

func (m modules) match(key string) bool {
	if m.re != nil {
		return m.re.MatchString(key)
	}
	return slices.ContainsFunc(m.list, func(t string) bool { return key == t || strings.HasSuffix(key, "."+t) })
}

// names are one name or a list of them.
type names []string

func (n *names) UnmarshalJSON(b []byte) error {
	var one *string
	if json.Unmarshal(b, &one) != nil {
		return json.Unmarshal(b, (*[]string)(n))
	}
	if one != nil && *one != "" {
		*n = names{*one}
	}
	return nil
}

// indices are numbers of layers: one, or a list of them. None, or an empty list, are all layers.
type indices struct {
	set  bool
	list []int
}

func (n *indices) UnmarshalJSON(b []byte) error {
	var one *int
	if json.Unmarshal(b, &one) != nil {
		err := json.Unmarshal(b, &n.list)
		n.set = len(n.list) > 0
		return err
	}
	if one != nil {
		n.set, n.list = true, []int{*one}
	}
	return nil
}

// has says whether the number written in digits is one of n.
func (n indices) has(digits string) bool {
	return slices.ContainsFunc(n.list, func(i int) bool { return fmt.Sprint(i) == digits })
}

// patterns are the entries of rank_pattern or alpha_pattern, in the order of the file: the first one that matches
// the end of a layer's name counts.
type patterns []pattern

type pattern struct {
	re    *regexp.Regexp
	value float64
}

func (p *patterns) UnmarshalJSON(b []byte) error {
	var values map[string]float64
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	if len(values) > maxPatterns {
		return fmt.Errorf("it has %d entries, want at most %d", len(values), maxPatterns)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	for range len(values) {
		if len(*p) == 0 {
			if _, err := d.Token(); err != nil { // the bracket
				return err
			}
		}
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		re, err := expression(name, `^(?:.*\.)?(?:%s)$`)
		if err != nil {
			return err
		}
		*p = append(*p, pattern{re, values[name]})
		if _, err := d.Token(); err != nil { // the value
			return err
		}
	}
	return nil
}

// of is the value for the module called key, or else otherwise.
func (p patterns) of(key string, otherwise float64) float64 {
	for _, x := range p {
		if x.re.MatchString(key) {
			return x.value
		}
	}
	return otherwise
}

// Adapter is what f adapts of the encoder e.
func (f *File) Adapter(e *model.Encoder) (Adapter, error) {
	all, err := f.settings.layers(e, strings.TrimPrefix(f.prefix(e), wrapped))
	if err != nil {
		return Adapter{}, fmt.Errorf("%s: %w", filepath.Join(f.dir, ConfigName), err)
	}
	return Adapter{Rank: f.settings.Rank, Alpha: f.settings.Alpha, Dropout: f.settings.Dropout, read: all}, nil
}
