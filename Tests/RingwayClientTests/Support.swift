// A session and its hand on the clock. Nothing here opens a socket.
import Contract

@testable import RingwayClient

typealias Action = ClientSession.Action

/// A session's inputs with short names, at a time that only the test moves.
struct Driver {
    var session: ClientSession
    var now = ClientSession.Instant.now

    /// random is what every draw gives.
    init(random: Double = 0.5, device: Int64 = 7, configure: (inout ClientSession.Settings) -> Void = { _ in }) {
        var settings = ClientSession.Settings()
        configure(&settings)
        session = ClientSession(deviceID: device, settings: settings, random: { random })
    }

    /// One that has connected and been welcomed.
    static func live(
        since seq: Int64 = 0, random: Double = 0.5, configure: (inout ClientSession.Settings) -> Void = { _ in }
    ) -> Driver {
        var driver = Driver(random: random, configure: configure)
        _ = driver.session.start(since: seq, now: driver.now)
        _ = driver.open()
        _ = driver.welcome()
        return driver
    }

    mutating func open(token: String = "token") -> [Action] {
        session.opened(connection: session.connection, token: token, now: now)
    }

    mutating func receive(_ build: (inout Ringway_V1_ServerFrame) -> Void) -> [Action] {
        session.received(.with(build), connection: session.connection, now: now)
    }

    mutating func welcome(textBytesMax: Int32 = 4096) -> [Action] {
        receive {
            $0.welcome.heartbeatMs = 20_000
            $0.welcome.limits.textBytesMax = textBytesMax
        }
    }

    mutating func event(_ seq: Int64, text: String = "hi", device: Int64 = 0, clientID: String = "") -> [Action] {
        receive { $0.event = .message(seq, text: text, device: device, clientID: clientID) }
    }

    mutating func sent(_ clientID: String, _ seq: Int64) -> [Action] {
        receive {
            $0.sent.clientID = clientID
            $0.sent.seq = seq
        }
    }

    mutating func send(_ clientID: String, _ text: String = "hi") throws -> [Action] {
        try session.send(text, to: 9, clientID: clientID, now: now)
    }

    mutating func lose(_ code: Int = 1006, _ reason: String = "") -> [Action] {
        session.closed(connection: session.connection, code: code, reason: reason, now: now)
    }

    /// Moves time, in the steps that a timer would take, and gathers what is done.
    mutating func pass(_ time: Duration) -> [Action] {
        let end = now + time
        var actions: [Action] = []
        while let due = session.nextDeadline, due <= end {
            now = max(now, due)
            actions += session.tick(now: now)
        }
        now = end
        return actions
    }

    /// Through the wait and back to a session.
    mutating func comeBack() -> [Action] {
        _ = pass(.seconds(10))
        _ = open()
        return welcome()
    }
}

extension Ringway_V1_Event {
    static func message(_ seq: Int64, text: String = "hi", device: Int64 = 0, clientID: String = "") -> Self {
        .with {
            $0.seq = seq
            $0.message.body.text = text
            $0.message.fromDevice = device
            $0.message.clientID = clientID
        }
    }
}

extension [Action] {
    var emitted: [ClientEvent] {
        compactMap { if case .emit(let event) = $0 { event } else { nil } }
    }

    var seqs: [Int64] { emitted.compactMap(\.seq) }

    var written: [Ringway_V1_ClientFrame] {
        compactMap { if case .write(let frame) = $0 { frame } else { nil } }
    }

    var sends: [String] {
        written.compactMap { if case .send(let send)? = $0.frame { send.clientID } else { nil } }
    }

    var pings: Int {
        written.count { if case .ping? = $0.frame { true } else { false } }
    }

    var acks: [Int64] {
        written.compactMap { if case .ack(let ack)? = $0.frame { ack.seq } else { nil } }
    }

    var settled: [String: String] {
        reduce(into: [:]) { settled, action in
            guard case .settle(let id, let result) = action else { return }
            switch result {
            case .success(let sent): settled[id] = "#\(sent.seq)"
            case .failure(let error): settled[id] = error.code
            }
        }
    }

    var dials: [(url: String?, tokenWasRejected: Bool)] {
        compactMap { if case .dial(_, let url, let rejected) = $0 { (url, rejected) } else { nil } }
    }

    var pulls: [Int64] {
        compactMap { if case .pull(let since) = $0 { since } else { nil } }
    }
}
