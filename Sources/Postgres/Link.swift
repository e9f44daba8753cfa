// One connection to the server, in libpq's non-blocking pipeline mode: segments go out in order and their answers come
// back in order. It knows the wire, not the pool: who may use it when is decided in Pool.swift. Loop only.
import CPostgres
import EventLoop

final class Link {
    enum Role: Equatable {
        /// Any single query may use it, several at a time.
        case shared
        /// One caller has it.
        case leased(serial: UInt64, isTransaction: Bool)
        /// The lease is over; what it left behind is being cleared.
        case returning
        case listener(ListenerID)
    }

    /// From the moment a cancel request goes out until nothing is left that it could hit. Nothing new is sent
    /// meanwhile, because the request names a connection, not a statement.
    struct CancelWindow {
        var isDelivered = false
        let deadline: ContinuousClock.Instant
    }

    let id: LinkID
    let connection: OpaquePointer
    let descriptor: Int32
    var role: Role = .shared
    /// BEGIN, due in front of the lease's first statement: it saves a round trip, and if it fails the server skips the
    /// statement too.
    var opening: StaticString?
    /// A statement of this lease's transaction was given up: its effect is unknown, so nothing more may be built on it.
    var doom: PostgresError?
    /// The connection is lost, or its state can't be known any more.
    private(set) var isBroken = false
    /// Segments under way that nobody knows to be quick.
    private var unprovenCount = 0
    /// Nobody gets it any more; it is closed as soon as nothing is under way.
    var isRetiring = false
    /// libpq could not send everything yet.
    private(set) var wantsWrite = false
    /// What the poller was last told.
    var watchesWrite = false
    private(set) var cancelWindow: CancelWindow?
    private(set) var inFlight = Fifo<Segment>()
    /// Accepted, but not to be sent yet: behind a script or a cancel request.
    private(set) var held = Fifo<Segment>()
    private var cache: StatementCache?
    private let usesTLS: Bool

    init(_ opened: OpenedConnection, id: LinkID, statementCacheSize: Int?) {
        self.id = id
        connection = opened.take()
        descriptor = PQsocket(connection)
        usesTLS = PQsslInUse(connection) != 0
        cache = statementCacheSize.map { StatementCache(capacity: $0) }
    }

    deinit {
        PQfinish(connection)
    }

    /// A statement is quick that takes less than this.
    private static let quickness: Duration = .milliseconds(5)

    /// Whether a query may be sent behind those under way: only if all of them were quick the last time, and the one
    /// that runs hasn't proved to be slow this time. Behind a slow one it would wait longer than for a connection of
    /// its own.
    func isWorthSharing(now: ContinuousClock.Instant) -> Bool {
        guard unprovenCount == 0, held.isEmpty, let running = inFlight.first?.startedAt else { return false }
        return now - running < Link.quickness
    }

    /// For any single query, as far as its state goes.
    var isAvailable: Bool { role == .shared && !isRetiring && cancelWindow == nil }

    var load: Int { inFlight.count + held.count }

    /// Nothing is under way, not even a cancellation.
    var isQuiet: Bool { inFlight.isEmpty && held.isEmpty && cancelWindow == nil }

    var isInTransaction: Bool { PQtransactionStatus(connection) != PQTRANS_IDLE }

    // MARK: Sending

    func submit(_ segment: Segment, now: ContinuousClock.Instant) {
        held.append(segment)
        sendHeld(now: now)
    }

    /// Sends what may be sent.
    func sendHeld(now: ContinuousClock.Instant) {
        if cancelWindow?.isDelivered == true, inFlight.isEmpty { cancelWindow = nil }
        while let next = held.first, !isBroken, cancelWindow == nil, maySend(next) {
            _ = held.popFirst()
            if inFlight.isEmpty { next.startedAt = now }
            isBroken = !send(next)
            inFlight.append(next)
            if !next.isQuick { unprovenCount += 1 }
        }
        flush()
    }

    /// A script leaves pipeline mode, so it runs alone.
    private func maySend(_ segment: Segment) -> Bool {
        inFlight.isEmpty || !(segment.isScript || inFlight.first!.isScript)
    }

    private func send(_ segment: Segment) -> Bool {
        let begin = opening
        opening = nil
        switch segment.ticket.work {
        case .script(let text):
            let whole = begin.map { "\($0);\n\(text)" } ?? text
            return PQexitPipelineMode(connection) == 1 && PQsendQuery(connection, whole) == 1
        case .queries(let queries):
            if let begin {
                guard send(PostgresQuery(sql: begin.description)) else { return false }
                segment.steps.append(.silent)
            }
            segment.isQuick = true
            for query in queries {
                guard sendStatement(query, of: segment) else { return false }
            }
        case .commit:
            guard send("COMMIT") else { return false }
            segment.steps.append(.statement(nil))
        case .lease:
            preconditionFailure("a lease is granted, not sent")
        }
        return PQpipelineSync(connection) == 1
    }

    private func sendStatement(_ query: PostgresQuery, of segment: Segment) -> Bool {
        let key = StatementCache.Key(sql: query.sql, types: query.parameters.types)
        // Our own statements are rare or never come again.
        let use = segment.purpose == .caller ? cache?.use(key) : nil
        if case .prepared(_, isQuick: true) = use {} else { segment.isQuick = false }
        switch use ?? .unnamed {
        case .prepared(let name, _):
            segment.steps.append(.statement(key))
            return send(query, prepared: name)
        case .prepareAs(let name):
            segment.steps.append(.prepare(key))
            segment.steps.append(.statement(key))
            let types = query.parameters.types
            return PQsendPrepare(connection, name, query.sql, Int32(types.count), types) == 1
                && send(query, prepared: name)
        case .unnamed:
            segment.steps.append(.statement(nil))
            return send(query)
        }
    }

    private func send(_ query: PostgresQuery, prepared name: String? = nil) -> Bool {
        query.parameters.withWireForm { count, values, lengths, formats in
            if let name {
                return PQsendQueryPrepared(connection, name, count, values, lengths, formats, 1) == 1
            }
            return PQsendQueryParams(connection, query.sql, count, query.parameters.types, values, lengths, formats, 1)
                == 1
        }
    }

    /// Also when the descriptor has become writable.
    func flush() {
        if isBroken { return }
        switch PQflush(connection) {
        case 0: wantsWrite = false
        case 1: wantsWrite = true
        default: isBroken = true
        }
    }

    // MARK: Receiving

    /// Reads what there is; gives back the segments that it completed. Answers that came in before a connection broke
    /// still count: a commit may be among them.
    func receive(now: ContinuousClock.Instant) -> [Segment] {
        let isConnected = consumeInput()
        var finished: [Segment] = []
        while !isBroken, let segment = inFlight.first, PQisBusy(connection) == 0 {
            if let result = PQgetResult(connection) {
                if PQresultStatus(result) == PGRES_PIPELINE_SYNC {
                    PQclear(result)
                    finished.append(finishFirst(now: now))
                } else {
                    accept(result, for: segment)
                }
            } else if segment.isScript {
                isBroken = PQenterPipelineMode(connection) != 1
                finished.append(finishFirst(now: now))
            } else if segment.currentStep != nil {
                segment.stepEnded()
            } else {
                isBroken = true  // No result, and no step that could have ended: libpq and we disagree.
            }
        }
        if !isConnected { isBroken = true }
        return finished
    }

    private func consumeInput() -> Bool {
        // OpenSSL may hold back a record's rest that epoll knows nothing of; libpq's buffer takes one in three reads.
        for _ in 0..<(usesTLS ? 3 : 1) where PQconsumeInput(connection) != 1 { return false }
        return true
    }

    private func finishFirst(now: ContinuousClock.Instant) -> Segment {
        let segment = inFlight.popFirst()!
        inFlight.first?.startedAt = now
        if !segment.isQuick { unprovenCount -= 1 }
        if let startedAt = segment.startedAt {
            let isQuick = now - startedAt < Link.quickness
            for case .statement(let key?) in segment.steps { cache?.record(key, isQuick: isQuick) }
        }
        return segment
    }

    /// Takes the result over.
    private func accept(_ result: OpaquePointer, for segment: Segment) {
        let rows = PostgresRows(storage: ResultStorage(owning: result))
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            switch segment.currentStep {
            case .statement: segment.accept(rows)
            case .prepare(let key): cache?.confirm(key)
            case .silent, nil: break
            }
        case PGRES_PIPELINE_ABORTED:
            if case .prepare(let key) = segment.currentStep { cache?.forget(key) }
        case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
            segment.fail(PostgresError(.server, reason: "COPY is not supported", sqlState: "0A000"))
            isBroken = true
        default:
            let error = PostgresError(result: result)
            segment.fail(error)
            if error.sqlState == nil { isBroken = true }  // libpq's own words: the connection is gone.
            forgetStatement(of: segment, after: error)
        }
    }

    private func forgetStatement(of segment: Segment, after error: PostgresError) {
        switch (segment.currentStep, error.sqlState) {
        case (.prepare(let key), _), (.statement(let key?), PostgresError.unknownStatement):
            cache?.forget(key)
        case (.statement(let key?), PostgresError.featureNotSupported):  // "cached plan must not change result type"
            cache?.drop(key)
        default:
            break
        }
    }

    /// Names of statements that the server may drop now; for a connection between transactions.
    func takeDroppedStatements() -> [String] {
        cache?.takeDropped() ?? []
    }

    // MARK: Giving up

    /// Call when a caller no longer waits for a segment. Asks the server to stop it if it is the one that runs.
    func cancelAbandoned(now: ContinuousClock.Instant, mailbox: PostgresMailbox) {
        held.removeAll { $0.isAbandoned }
        guard let running = inFlight.first, running.isAbandoned, cancelWindow == nil, !isBroken else { return }
        cancelWindow = CancelWindow(deadline: now + .seconds(2))
        Connector.cancel(connection, link: id, answerTo: mailbox)
    }

    func cancelDelivered() {
        cancelWindow?.isDelivered = true
    }

    func markBroken() {
        isBroken = true
    }

    /// Everything that will get no answer any more.
    func takeUnfinished() -> [Segment] {
        inFlight.removeAll() + held.removeAll()
    }
}

extension PostgresParameters {
    /// Lends the parameters as the arrays that libpq takes: pointers into the arena, lengths, formats (all binary).
    func withWireForm<Result>(
        _ body: (
            Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?
        ) -> Result
    ) -> Result {
        let count = slots.count
        return writer.bytes.withUnsafeBytes { arena in
            withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: count) { values in
                withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2 * count) { numbers in
                    for (index, slot) in slots.enumerated() {
                        // Empty is not NULL: with no byte in the arena, any pointer will do for a length of 0.
                        let start = arena.baseAddress ?? UnsafeRawPointer(numbers.baseAddress!)
                        let value = slot.length < 0 ? nil : (start + slot.offset).assumingMemoryBound(to: CChar.self)
                        values.initializeElement(at: index, to: value)
                        numbers.initializeElement(at: index, to: max(0, slot.length))
                        numbers.initializeElement(at: count + index, to: 1)
                    }
                    return body(
                        Int32(count), values.baseAddress.map { UnsafePointer($0) },
                        numbers.baseAddress.map { UnsafePointer($0) },
                        numbers.baseAddress.map { UnsafePointer($0 + count) })
                }
            }
        }
    }
}

extension PostgresError {
    static let unknownStatement = "26000"
    static let featureNotSupported = "0A000"
    static let queryCancelled = "57014"
    static let readOnlyTransaction = "25006"

    /// From an error of the server, or of libpq itself when there is no SQLSTATE.
    init(result: OpaquePointer) {
        /// The field codes are characters in the protocol; Swift can't import their macros.
        func field(_ code: Unicode.Scalar) -> String? {
            PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
        }
        let state = field("C")
        // FATAL and PANIC end the connection, whatever the state says: shutdown, failover, an idle timeout.
        let isFatal = field("V") == "FATAL" || field("V") == "PANIC"
        let code: Code = state == nil || isFatal ? .unavailable : state == Self.queryCancelled ? .timeout : .server
        self.init(code, sqlState: state, constraint: field("n"), table: field("t"))
        column = field("c")
        serverMessage = field("M")
    }
}
