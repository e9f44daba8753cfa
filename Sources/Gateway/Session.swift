// One connection's session, and where it stands in its user's log. The rules are here; the I/O is in SessionHost.
//
// The log is the truth, so a session's place is one number: `delivered`, the last seq that was queued to the socket,
// with nothing before it missing. `known` is the newest seq that is known to exist. Whenever delivered < known and
// nothing else is under way, the session pulls the range from the log. A live event that is the next one is sent
// without pulling. Whatever else arrives only raises `known`. So an event can come twice, late, in any order or only as
// a hint, and the socket still sees each once and in order.
//
//     delivered <= known; at most one pull is under way; nothing is sent while `isFull`
import Reactor

struct SessionID: Hashable, Sendable {
    let reactor: Int
    let connection: ConnectionID

    var text: String { "\(reactor)-\(String(connection.raw, radix: 16))" }
}

struct Session {
    enum Phase {
        case awaitingHello
        case authenticating
        case live
        /// A close frame is queued; nothing the client says counts any more.
        case closing
    }

    let connection: ConnectionID
    let format: FrameFormat
    /// From where it comes, for the limits of its calls; empty when unknown.
    let address: String
    var phase = Phase.awaitingHello
    /// From the Authorization header, until hello.
    var headerToken: String?
    var user: Int64 = 0
    var device: Int64 = 0
    /// The key that has signed the token of its hello.
    var keyID = ""
    private(set) var delivered: Int64 = 0
    private(set) var known: Int64 = 0
    private(set) var isPulling = false
    private var isFull = false
    /// Seqs beyond `delivered` that this device has been given as `sent`: a pull passes over them.
    private var answered: Set<Int64> = []
    /// Frames other than events that found the queue full. Bounded; a client that exceeds it does not read.
    private var waiting: [[UInt8]] = []
    /// Sends whose recipient is being checked, by recipient, in their order.
    var checking: [Int64: [PendingSend]] = [:]

    /// Sends to nobody's friend that are being looked up in the sender's log; at most `waitingMax`.
    var recalling = 0

    /// Calls that are not answered yet, by the client's ids; at most `callsMax`.
    var calling: Set<String> = []

    static let waitingMax = 1024
    static let callsMax = 16

    init(connection: ConnectionID, format: FrameFormat, address: String = "", headerToken: String?) {
        self.connection = connection
        self.format = format
        self.address = address
        self.headerToken = headerToken
    }

    /// Goes live behind `since`, in a log whose newest seq is `head`.
    mutating func resume(since: Int64, head: Int64) {
        phase = .live
        delivered = since
        known = max(known, head)
    }

    mutating func learn(_ seq: Int64) {
        known = max(known, seq)
    }

    // MARK: Events

    /// Whether seq is the very next event and may be sent at once.
    mutating func takesNow(_ seq: Int64) -> Bool {
        learn(seq)
        return phase == .live && !isPulling && !isFull && seq == delivered + 1
    }

    var canSend: Bool { phase == .live && !isFull }

    mutating func queued(_ seq: Int64) {
        delivered = seq
        learn(seq)
    }

    mutating func queueIsFull() {
        isFull = true
    }

    /// A send of this device was committed at seq and its `sent` queued.
    mutating func sentAnswered(_ seq: Int64) {
        learn(seq)
        if seq == delivered + 1, !isPulling, !isFull {
            delivered = seq
        } else if seq > delivered {
            answered.insert(seq)
        }
    }

    /// Whether the event of seq was already told as a `sent`; the session is then behind it.
    mutating func passesOver(_ seq: Int64) -> Bool {
        guard answered.remove(seq) != nil else { return false }
        delivered = seq
        return true
    }

    // MARK: Pulling

    /// The seq to pull from, if a pull is due; it is then under way.
    mutating func beginPull() -> Int64? {
        guard phase == .live, !isPulling, !isFull, delivered < known else { return nil }
        isPulling = true
        return delivered
    }

    mutating func endPull() {
        isPulling = false
    }

    // MARK: Other frames

    /// Keeps a frame for when the queue has room. False: too many wait.
    mutating func wait(_ frame: [UInt8]) -> Bool {
        isFull = true
        guard waiting.count < Self.waitingMax else { return false }
        waiting.append(frame)
        return true
    }

    /// The queue has room: what waited, in order.
    mutating func writable() -> [[UInt8]] {
        isFull = false
        defer { waiting = [] }
        return waiting
    }

    var mustWait: Bool { !waiting.isEmpty }
}

/// A send that has been checked by itself but not yet against its recipient.
struct PendingSend {
    let clientID: String
    let text: String
}
