// A node's gateway: its reactors, the log's writer and reader, and the feed of hints. Start it, drain it, stop it.
import Inbox
import Logging
import Postgres
import Reactor
import ServiceKit

public final class Gateway: Sendable {
    private let settings: GatewaySettings
    private let group: ReactorGroup
    private let hosts: [SessionHost]
    private let writer: InboxWriter
    private let cursors: CursorStore
    private let lastSeen: LastSeen
    private let tasks: [Task<Void, Never>]

    private init(
        settings: GatewaySettings, group: ReactorGroup, hosts: [SessionHost], writer: InboxWriter,
        cursors: CursorStore, lastSeen: LastSeen, tasks: [Task<Void, Never>]
    ) {
        self.settings = settings
        self.group = group
        self.hosts = hosts
        self.writer = writer
        self.cursors = cursors
        self.lastSeen = lastSeen
        self.tasks = tasks
    }

    /// - Parameter postgres: connections of the gateway's own: messages do not queue behind anyone's queries.
    public static func start(
        settings: GatewaySettings, postgres: PostgresClient, services: GatewayServices, logger: Logger
    ) async throws(GatewayError) -> Gateway {
        let writer = InboxWriter(postgres: postgres, logger: logger)
        let cursors = CursorStore(postgres: postgres, logger: logger)
        let lastSeen = LastSeen(record: services.recordLastSeen, logger: logger)
        let router = Router()
        let environment = SessionHost.Environment(
            settings: settings, router: router, writer: writer, reader: InboxStore(postgres: postgres),
            cursors: cursors, lastSeen: lastSeen, services: services, logger: logger)
        var hosts: [SessionHost] = []
        let group = try await ReactorGroup.start(
            count: settings.reactors, settings: ReactorSettings(settings), address: settings.address,
            port: settings.port
        ) { reactor in
            let host = SessionHost(reactor: reactor, environment: environment)
            hosts.append(host)
            return host
        }
        announce(group.carrier, settings, logger)
        let tasks = [
            Task { await writer.run() },
            Task { await cursors.run() },
            Task { await lastSeen.run() },
            Task { await followHints(postgres, router) },
            Task { await followRelations(postgres, router) },
            Task { await followKeys(postgres, services, router) },
            Task { await followDevices(postgres, router) },
        ]
        return Gateway(
            settings: settings, group: group, hosts: hosts, writer: writer, cursors: cursors, lastSeen: lastSeen,
            tasks: tasks)
    }

    private static func announce(_ carrier: Carrier, _ settings: GatewaySettings, _ logger: Logger) {
        if let refusal = carrier.refusal {
            logger.notice("io_uring is refused (\(refusal)): sockets are on \(carrier.name)")
        } else {
            logger.info("sockets are on \(carrier.name)")
        }
        guard settings.certificate != nil, settings.kernelTLS else { return }
        if carrier.kernelTLS.isEmpty {
            logger.notice("this kernel has no TLS that we can use: Ringway encrypts by itself")
        } else {
            logger.info("the kernel encrypts what is sent over TLS \(carrier.kernelTLS.joined(separator: " and "))")
        }
    }

    /// What other services append is announced by Postgres at the commit, as "user:seq".
    private static func followHints(_ postgres: PostgresClient, _ router: Router) async {
        for await notification in postgres.listen("ringway_inbox") {
            switch notification {
            case .connected:
                router.hintsLost()
            case .disconnected:
                continue
            case .notification(let payload):
                guard let (user, seq) = pair(payload) else { continue }
                router.hint(user: user, seq: seq)
            }
        }
    }

    private static func pair(_ payload: String) -> (Int64, Int64)? {
        let parts = payload.split(separator: ":").compactMap { Int64($0) }
        return parts.count == 2 ? (parts[0], parts[1]) : nil
    }

    /// Who blocks somebody tells it to the gateways alone: nothing of it stands in the other's log.
    private static func followRelations(_ postgres: PostgresClient, _ router: Router) async {
        for await notification in postgres.listen("ringway_relations") {
            switch notification {
            case .connected: router.hintsLost()
            case .disconnected: continue
            case .notification(let payload): Int64(payload).map(router.forgetPermissions)
            }
        }
    }

    /// Which keys sign nothing any more is asked of Auth: at the start, at each change, and after changes may have been missed.
    private static func followKeys(_ postgres: PostgresClient, _ services: GatewayServices, _ router: Router) async {
        for await word in postgres.listen("ringway_keys") where word != .disconnected {
            while !Task.isCancelled {
                if let keys = try? await services.revokedKeys() {
                    router.revoke(keys)
                    break
                }
                try? await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    /// A device that ends is told as "user:device" at the commit. Its owner's log says so too, but a socket that is far behind
    /// in it would go on for as long as its client cares to read.
    private static func followDevices(_ postgres: PostgresClient, _ router: Router) async {
        for await word in postgres.listen("ringway_devices") {
            switch word {
            case .connected:
                router.devicesMayHaveEnded()
            case .disconnected:
                continue
            case .notification(let payload):
                guard let (user, device) = pair(payload) else { continue }
                router.endDevice(device, of: user)
            }
        }
    }

    /// New sockets get the certificate that its files hold now; without one nothing happens.
    public func reloadCertificate() async throws(GatewayError) {
        if let certificate = settings.certificate { try await group.reloadCertificate(certificate) }
    }

    /// Asks every client to connect again at a moment of its own within the drain window, then closes those that are
    /// left, stores what was accepted, and ends the reactors.
    public func drain() async {
        for host in hosts { await host.beginDrain() }
        let deadline = ContinuousClock.now + settings.drainWindow
        while await openSessions > 0, ContinuousClock.now < deadline {
            try? await Task.sleep(for: .milliseconds(50))
        }
        for host in hosts { await host.endDrain() }
        let closed = ContinuousClock.now + .seconds(2)
        while await openSessions > 0, ContinuousClock.now < closed {
            try? await Task.sleep(for: .milliseconds(20))
        }
        writer.finish()
        await tasks[0].value
        for task in tasks[1...] { task.cancel() }
        // What these two were about to write is theirs until they have ended.
        for task in tasks[1...2] { await task.value }
        await cursors.flush()
        await lastSeen.flush()
        await group.stop()
    }

    public var openSessions: Int {
        get async {
            var count = 0
            for host in hosts { count += await host.openSessions }
            return count
        }
    }

    /// One a reactor.
    public var statistics: [ReactorStatistics] {
        get async {
            var all: [ReactorStatistics] = []
            for host in hosts { all.append(await host.statistics) }
            return all
        }
    }

    var backendName: String { group.carrier.name }

    /// Messages that wait for the log.
    public var messagesWaiting: Int { writer.waiting }
}

extension ReactorSettings {
    fileprivate init(_ settings: GatewaySettings) {
        self.init()
        backend = settings.io
        connectionsMax = settings.connectionsMax
        untrustedPerPeerMax = settings.strangersPerAddress
        untrustedMax = settings.strangersPerAddress == 0 ? 0 : connectionsMax - connectionsMax / 4
        messageBytesMax = settings.frameBytesMax
        outboundBytesMax = settings.outboundBytesMax
        deflate = settings.deflate
        handshakeLimit = settings.helloLimit
        idleLimit = settings.heartbeat * 5 / 2
        idleCloseCode = CloseCode.silent.rawValue
        subprotocols = FrameFormat.subprotocols
        certificate = settings.certificate
        kernelTLS = settings.kernelTLS
        origins = settings.origins.isEmpty ? nil : settings.origins
    }
}
