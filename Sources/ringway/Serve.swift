// `ringway serve`: the whole system in one process. This file puts it together, in the order of what needs what.
//
//     Postgres -> services -> in-process gRPC -> gateway (7400), HTTP (7401), gRPC (7402), operations (7403)
import ArgumentParser
import Auth
import Cache
import Contract
import Friendship
import GRPCAPI
import GRPCCore
import GRPCInProcessTransport
import Gateway
import HTTPAPI
import Inbox
import Logging
import Outbox
import Postgres
import Profile
import Reactor
import ServiceKit
import ServiceLifecycle

struct Serve: SettingsCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve everything in one process.",
        discussion: "Settings (flags, over RINGWAY_* variables, over the file that --config names):\n"
            + Settings.describe(ServeSettings.known))

    @Argument(parsing: .captureForPassthrough, help: "Settings; see below.")
    var arguments: [String] = []

    func run() async throws {
        try await complaining {
            let settings = try settings()
            guard let level = Logger.Level(rawValue: settings.logLevel) else {
                throw Complaint(line: "--log-level must be trace, debug, info, notice, warning, error or critical", code: 64)
            }
            LoggingSystem.bootstrap { label in
                var handler = StreamLogHandler.standardError(label: label)
                handler.logLevel = level
                return handler
            }
            try Ports.requireFree(settings)
            try await Node(settings).run()
        }
    }
}

/// One node: everything that `serve` starts, and stops in the opposite order.
private struct Node {
    private let settings: ServeSettings
    private let logger = Logger(label: "ringway")
    private let database: Database
    private let gatewayPostgres: PostgresClient
    private let cache: Cache

    init(_ settings: ServeSettings) {
        self.settings = settings
        database = Database(settings)
        cache = settings.makeCache()
        var configuration = PostgresConfiguration(url: settings.postgresURL)
        configuration.poolSize = settings.postgresPool
        configuration.applicationName = "ringway gateway"
        gatewayPostgres = PostgresClient(configuration: configuration, logger: Logger(label: "ringway.gateway.postgres"))
    }

    func run() async throws {
        try await database.requireCurrent()
        let transport = InProcessTransport()
        let client = GRPCClient(transport: transport.client)
        let auth = try await AuthHandler.start(
            postgres: database.client, settings: settings.auth, peers: AuthPeers(client: client))
        let outbox = OutboxRelay(
            schema: "auth", postgres: database.client,
            consumers: [friendshipErasure, profileErasure, inboxErasure], logger: Logger(label: "ringway.outbox"))
        let friendship = FriendshipHandler(
            postgres: database.client, settings: settings.friendship, limits: settings.friendshipLimits, cache: cache,
            mayAdd: Self.consent(client))
        let relations = Relations(client: client)
        let mill = PictureMill(threads: settings.pictureThreads, queueLimit: settings.pictureQueue)
        let profiles = ProfileHandler(
            postgres: database.client, relations: relations, mill: mill, searchLimits: settings.searchLimits,
            changeLimits: settings.changeLimits, cache: cache)
        let userSettings = SettingsHandler(
            postgres: database.client, relations: relations, limits: settings.changeLimits, cache: cache)
        let inbox = InboxHandler(postgres: database.client)
        let locator = GatewayHandler(url: settings.gateway.url)
        let services: [any RegistrableRPCService] = [auth, profiles, userSettings, friendship, inbox, locator]
        let verify: @Sendable (String) async throws -> Caller = { try await auth.caller(showing: $0) }
        let door = InProcessDoor(verify: ShownToken.noted(verify))
        let clients = ServiceClients(
            auth: Ringway_V1_AuthService.LocalClient(auth, behind: door),
            profiles: Ringway_V1_ProfileService.LocalClient(profiles, behind: door),
            settings: Ringway_V1_SettingsService.LocalClient(userSettings, behind: door),
            friendship: Ringway_V1_FriendshipService.LocalClient(friendship, behind: door),
            inbox: Ringway_V1_InboxService.LocalClient(inbox, behind: door),
            gateway: Ringway_V1_GatewayService.LocalClient(locator, behind: door))
        let gateway = try await startGateway(clients)
        let inProcess = GRPCServer(
            transport: transport.server, services: services,
            interceptors: [AuthenticationInterceptor(door: .inProcess, verify: verify)])
        let (postgres, cache) = (database.client, cache)
        let health = NodeHealth {
            var readiness = NodeReadiness()
            do {
                try await postgres.query("SELECT 1", timeout: .seconds(1))
            } catch {
                readiness.problems["postgres"] = "not available"
            }
            readiness.remarks["redis"] = cache.complaint
            return readiness
        }
        let (doorsOpened, doorOpened) = AsyncStream.makeStream(of: Void.self)
        let grpc = GRPCAPI(
            settings.grpc, longRequests: ["ringway.v1.ProfileService/SetMyAvatar": (2 << 20) + 1024],
            longCalls: ["grpc.health.v1.Health/Watch"]
        ) { doorOpened.yield() }
        let reflection: [any RegistrableRPCService] = settings.servesReflection ? [ReflectionService()] : []
        let network = GRPCServer(
            transport: grpc.transport, services: services + [HealthService(health: health)] + reflection,
            interceptors: [
                DeadlineInterceptor(),
                AuthenticationInterceptor(
                    door: .network, proxies: settings.proxies, serviceSecret: settings.serviceSecret, verify: verify,
                    onProof: grpc.trust),
            ])
        let httpConnections = HTTPConnections(settings.http)
        let http = makeHTTPAPI(
            clients: clients, configuration: settings.http, connections: httpConnections,
            logger: Logger(label: "ringway.http")
        ) { _ in doorOpened.yield() }
        let operations = OperationsAPI(
            readiness: { await health.readiness() },
            metrics: {
                let doors = httpConnections.metrics(of: "http") + grpc.metrics()
                return await Version.metrics() + gateway.metrics() + auth.metrics() + doors + outbox.metrics()
                    + cache.metrics()
            })
        // A service that returns ends the group, and without a cache there is nothing to hear.
        let hearing: [any Service] = cache.isOn ? [BackgroundService { await cache.follow(postgres) }] : []
        let group = ServiceGroup(
            services: hearing + [
                RPCServerService(server: inProcess), RPCClientService(client: client), http,
                RPCServerService(server: network), BackgroundService(work: outbox.run),
                Sweep(every: .seconds(60), logger: Logger(label: "ringway.friendship")) { try await friendship.sweep() },
                BackgroundService { await auth.maintain(logger: Logger(label: "ringway.auth")) },
                operations.application(
                    host: settings.address, port: settings.opsPort, logger: Logger(label: "ringway.operations")),
            ], logger: Logger(label: "ringway.services"))
        let stop = Task { await Signals.firstOf(.terminate, .interrupt) }
        let running = Task {
            defer {
                doorOpened.finish()
                stop.cancel()
            }
            try await group.run()
        }
        var doorsOpen = 0
        for await _ in doorsOpened.prefix(2) { doorsOpen += 1 }
        if doorsOpen == 2 {
            await health.begin()
            announce()
        }
        let renewals = Signals.each(.hangUp) { await renewCertificate(gateway) }
        await stop.value
        // A service that ends by itself takes the node with it: what is left would look alive, and serve nobody.
        let isBroken = stop.isCancelled
        renewals.cancel()
        logger.info("draining")
        await health.drain()
        await gateway.drain()
        await group.triggerGracefulShutdown()
        let end = await running.result
        await gatewayPostgres.shutdown()
        await database.shutdown()
        if isBroken, case .failure(let error) = end { throw Complaint(line: "a part of the node ended: \(error)") }
    }

    private func startGateway(_ clients: ServiceClients) async throws -> Gateway {
        do throws(GatewayError) {
            return try await Gateway.start(
                settings: settings.gateway, postgres: gatewayPostgres, services: GatewayServices(clients),
                logger: Logger(label: "ringway.gateway"))
        } catch {
            if error.isAddressInUse { throw Ports.complaint(settings.wsPort, "ws-port") }
            if error.isRingRefused {
                throw Complaint(
                    line: "io_uring is refused (\(error)); allow it: sysctl kernel.io_uring_disabled=0, and a seccomp "
                        + "profile that lets io_uring_setup pass; or serve with --io auto")
            }
            throw Complaint(line: "the gateway can't start: \(error)")
        }
    }

    private func renewCertificate(_ gateway: Gateway) async {
        do {
            try await gateway.reloadCertificate()
            logger.info("the certificate was read again")
        } catch {
            logger.error("the certificate stays as it was: \(error)")
        }
    }

    /// May this user ask that one for friendship? Asked of Profile, which keeps the settings.
    private static func consent<Transport: ClientTransport>(
        _ client: GRPCClient<Transport>
    ) -> FriendshipHandler.Consent {
        let privacy = Ringway_V1_SettingsService.Client(wrapping: client)
        return { viewer, owner in
            let question = Ringway_V1_CheckAudienceRequest.with {
                $0.viewerID = viewer
                $0.field = .add
                $0.ownerIds = [owner]
            }
            return try await privacy.checkAudience(question).allowedIds == [owner]
        }
    }

    private func announce() {
        print(
            """
            ringway is up
              WebSocket   \(settings.gateway.url)
              HTTP API    http://\(settings.address):\(settings.httpPort)/v1  /docs  /openapi.json
              gRPC        \(settings.address):\(settings.grpcPort)
              operations  http://\(settings.address):\(settings.opsPort)/readyz  /livez  /metrics
            """)
        OutputStream.flush()
    }
}

/// A gRPC server as a service of the group.
private struct RPCServerService<Transport: ServerTransport>: Service {
    let server: GRPCServer<Transport>

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await server.serve()
        } onGracefulShutdown: {
            server.beginGracefulShutdown()
        }
    }
}

private struct RPCClientService<Transport: ClientTransport>: Service {
    let client: GRPCClient<Transport>

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await client.runConnections()
        } onGracefulShutdown: {
            client.beginGracefulShutdown()
        }
    }
}

/// Work that goes on until the group stops.
private struct BackgroundService: Service {
    let work: @Sendable () async -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown(work)
    }
}
