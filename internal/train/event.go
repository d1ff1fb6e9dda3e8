package train

// Kind is the type of an Event.
type Kind int

// The kinds of events, in the order a run emits them.
const (
	EpochStart Kind = iota // Epoch, Epochs, Steps (of the epoch), Step (already done before a resume)
	Step                   // one optimiser step: Step, Items, Loss, Accuracy (running means of the epoch)
	EvalStart              // Steps of the evaluation; Message: its name, if any
	EvalStep               // Step, Items, Loss, Accuracy (running means)
	EpochEnd               // TrainLoss … ValAcc, Best, LR, Seconds
)

// Event reports progress of the loop. It is passed by value and refers to nothing in the loop, so a Sink may keep it.
// Accuracy fields are fractions in [0,1], NaN where the program has no accuracy. ValLoss and ValAcc are NaN without
// validation.
type Event struct {
	Kind           Kind
	Epoch, Epochs  int // current epoch, from 1, and their number
	Step, Steps    int // steps done in this epoch or evaluation, and their number
	Items          int // samples in this step
	Loss, Accuracy float64
	TrainLoss      float64
	TrainAcc       float64
	ValLoss        float64
	ValAcc         float64
	Best           bool
	LR             float64
	Seconds        float64 // wall time of the epoch
	Throughput     float64 // training samples per second in the epoch
	Message        string
}

// Sink consumes events. It is called from the training goroutine and must return quickly.
type Sink func(Event)
