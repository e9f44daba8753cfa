// The words of the session's state machine: what it is configured with, what it asks of the I/O around it, and the
// parts of its state. ClientSession+StateMachine.swift and ClientSession+Log.swift have the transitions.
import Contract

/// What a device does to stay connected and to miss nothing, without doing it: every input returns the actions that
/// it leads to. No I/O, no clock and no randomness of its own. Owned by RingwayClient, on its actor.
struct ClientSession {
    typealias Instant = ContinuousClock.Instant

    struct Settings: Sendable {
        /// The wait before attempt n is drawn from 0 to min(backoffMax, backoffBase * 2^n): full jitter.
        var backoffBase: Duration = .milliseconds(100)
        var backoffMax: Duration = .seconds(10)
        /// A connection that lived this long starts the backoff anew.
        var stableAfter: Duration = .seconds(5)
        /// From the first packet to welcome.
        var connectTimeout: Duration = .seconds(10)
        /// A send without an answer on a living connection is repeated, under its id, after this.
        var answerTimeout: Duration = .seconds(15)
        /// Acks within this time become one.
        var ackDelay: Duration = .milliseconds(200)
        /// What is behind a `sent` may still be on its way; an event's predecessors may not.
        var holeGrace: Duration = .milliseconds(250)
        /// Sends that wait for their commit; more are refused.
        var sendsMax = 1000
        /// Entries ahead of a hole; more, and the session starts again from the hole.
        var heldMax = 1024
        /// Told to the server, for its logs.
        var clientName = "ringway-swift/0.1"
    }

    enum Action: Equatable {
        /// Get a token, replacing the one last used if it was rejected, and open a socket: to url, or to the
        /// configured or assigned gateway. Answered by opened or openFailed with the same connection.
        case dial(connection: Int, url: String?, tokenWasRejected: Bool)
        /// End the socket, or what leads to one. Nothing of this connection is of interest any more.
        case hangUp
        case write(Ringway_V1_ClientFrame)
        /// Read the log after since over HTTP; answered by pulled or pullFailed.
        case pull(since: Int64)
        /// Answer the send call that waits under this id.
        case settle(clientID: String, Result<Ringway_V1_Sent, RingwayError>)
        case emit(ClientEvent)
    }

    enum Phase {
        case idle
        case waiting(until: Instant)
        case dialling(deadline: Instant)
        /// hello is written, welcome has not come.
        case greeting(deadline: Instant)
        case live(since: Instant, heartbeat: Duration)
        case ended
    }

    /// A send without an answer. It lives across connections and always has the same id.
    struct Pending {
        let frame: Ringway_V1_Send
        let number: UInt64
        /// When it is written: again, if it was before.
        var due: Instant
        /// The server said when; a new connection does not change that.
        var isPostponed = false
    }

    /// A place in the log that is not reached yet.
    enum Entry {
        case event(Ringway_V1_Event)
        case sent(Ringway_V1_Sent)
    }

    let settings: Settings
    /// Uniform in 0..<1.
    let random: @Sendable () -> Double
    let deviceID: Int64

    var phase = Phase.idle
    /// Rises with each dial, so that what is late from an earlier one is known for it.
    var connection = 0
    /// Dials since a connection was stable.
    var failures = 0
    /// A rejected token is replaced once; a second rejection without a welcome in between is the end.
    var tokenWasRejected = false
    /// What a reconnect frame said.
    var handover: (at: Instant, url: String?)?

    /// Every seq up to here has been emitted.
    var lastSeq: Int64 = 0
    /// What came ahead of a hole after lastSeq.
    var held: [Int64: Entry] = [:]
    var isPulling = false
    var holeDue: Instant?

    var pending: [String: Pending] = [:]
    var sendsMade: UInt64 = 0
    /// No pending send is due before this.
    var sendsDue: Instant?
    var textBytesMax: Int?

    var ackWanted: Int64 = 0
    var acked: Int64 = 0
    var ackDue: Instant?

    var lastReceived: Instant = .now
    var nextPing: Instant = .now
    /// The app is behind and the socket is not read: its silence says nothing of the peer.
    var isReadingPaused = false

    init(deviceID: Int64, settings: Settings, random: @escaping @Sendable () -> Double) {
        self.deviceID = deviceID
        self.settings = settings
        self.random = random
    }

    var isEnded: Bool {
        if case .ended = phase { true } else { false }
    }

    var isLive: Bool {
        if case .live = phase { true } else { false }
    }

    /// When tick has something to do, unless an input comes before.
    var nextDeadline: Instant? {
        switch phase {
        case .idle, .ended: nil
        case .waiting(let until): until
        case .dialling(let deadline), .greeting(let deadline): deadline
        case .live(_, let heartbeat):
            [nextPing, silenceDeadline(heartbeat), sendsDue, ackDue, holeDue, handover?.at].compactMap { $0 }.min()
        }
    }

    /// A peer that has not said anything by then is dead: not even pings were answered.
    func silenceDeadline(_ heartbeat: Duration) -> Instant? {
        isReadingPaused ? nil : lastReceived + heartbeat * 2.5
    }
}

extension Ringway_V1_ClientFrame {
    static func hello(token: String, sinceSeq: Int64, client: String) -> Self {
        .with {
            $0.hello = .with {
                $0.token = token
                $0.sinceSeq = sinceSeq
                $0.client = client
            }
        }
    }

    static func send(_ send: Ringway_V1_Send) -> Self {
        .with { $0.send = send }
    }

    static func ack(_ seq: Int64) -> Self {
        .with { $0.ack.seq = seq }
    }

    static var heartbeat: Self {
        .with { $0.ping = .init() }
    }
}
