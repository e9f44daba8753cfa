// Every setting of `ringway serve`, once.
import Auth
import Cache
import Foundation
import Friendship
import GRPCAPI
import Gateway
import HTTPAPI
import Logging
import Profile
import Reactor
import Redis
import ServiceKit

struct ServeSettings {
    let address: String
    let wsPort, httpPort, grpcPort, opsPort: Int
    let postgresURL: String
    let postgresPool: Int
    private let cachePlace: CachePlace
    private let cacheBytesMax, cacheSeconds: Int
    let migrations: String
    let logLevel: String
    let pictureThreads, pictureQueue: Int
    let searchLimits: SearchLimits
    let friendshipLimits: FriendshipLimits
    let changeLimits: ChangeLimits
    private(set) var gateway: GatewaySettings
    let auth: AuthSettings
    let friendship: FriendshipSettings
    let http: HTTPAPIConfiguration
    let grpc: GRPCAPIConfiguration
    let servesReflection: Bool
    let serviceSecret: ServiceSecret?
    let proxies: TrustedProxies

    static let known: [Setting] = [
        Setting("address", default: "127.0.0.1", "the address that all ports listen on"),
        Setting("ws-port", default: "7400", "WebSocket, path /ws"),
        Setting("http-port", default: "7401", "the HTTP API"),
        Setting("grpc-port", default: "7402", "gRPC"),
        Setting("ops-port", default: "7403", "metrics and health"),
        Setting("postgres-url", default: "", secret: true, "a libpq URL; several hosts may be named for failover"),
        Setting("postgres-pool", default: "8", "connections of the services, and as many of the gateway"),
        Setting("cache", default: "auto", "profiles, settings and lists between two changes: auto, redis, memory or off"),
        Setting("cache-bytes-max", default: "67108864", "what the cache may hold in memory; 0: nothing"),
        Setting("cache-seconds", default: "60", "after how long a cached fact is read again, changed or not"),
        Setting(
            "redis-url", default: "", secret: true,
            "where nodes share a cache: redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=]"),
        Setting("redis-deadline-ms", default: "20", "how long Redis is waited for before Postgres is asked"),
        Setting("migrations", default: "", "the directory of the migrations (default: deploy/migrations, found upwards)"),
        Setting("reactors", default: "0", "gateway threads; 0: one a core"),
        Setting("io", default: "auto", "what carries the sockets: auto (io_uring, else epoll), io_uring or epoll"),
        Setting("connections-max", default: "16384", "WebSocket connections a reactor"),
        Setting(
            "strangers-per-address", default: "256", "sockets of an address and reactor that have not said hello; 0: any number"),
        Setting("deflate", default: "on", "permessage-deflate where a client offers it: on or off"),
        Setting("deflate-window-bits", default: "12", "its widest window, 9 to 15"),
        Setting("deflate-level", default: "1", "1 (fast) to 9"),
        Setting("deflate-threshold-bytes", default: "512", "shorter messages are sent as they are; 126 at least"),
        Setting("deflate-bytes-max", default: "67108864", "what a reactor's compression contexts may hold between messages"),
        Setting("http-connections-max", default: "4096", "HTTP connections; more wait to be accepted"),
        Setting(
            "http-strangers-per-address", default: "512",
            "HTTP connections of an address that have shown no valid token; 0: any number"),
        Setting("grpc-connections-max", default: "4096", "gRPC connections; more wait to be accepted"),
        Setting(
            "grpc-strangers-per-address", default: "256",
            "gRPC connections of an address that have shown no valid token; 0: any number"),
        Setting("grpc-streams-max", default: "100", "calls under way on a gRPC connection, at most 100"),
        Setting("grpc-idle-seconds", default: "300", "after how long without a call a gRPC connection is told to go"),
        Setting("grpc-age-seconds", default: "3600", "how old a gRPC connection becomes"),
        Setting("grpc-keepalive-seconds", default: "60", "after how long in silence a gRPC client is asked whether it is there"),
        Setting("grpc-reflection", default: "on", "whether gRPC clients may ask for the contract: on or off"),
        Setting("heartbeat-ms", default: "30000", "how often a client must be heard"),
        Setting("drain-ms", default: "2000", "over how long the clients of a stopping node are spread"),
        Setting("origins", default: "", "allowed Origin values, separated by commas; empty: any"),
        Setting("public-url", default: "", "the WebSocket URL that clients are told; empty: made from address and port"),
        Setting("tls-cert", default: "", "WebSocket over TLS with this certificate, a PEM file; SIGHUP reads it again"),
        Setting("tls-key", default: "", "the certificate's key, a PEM file"),
        Setting("kernel-tls", default: "off", "whether the kernel encrypts what is sent over TLS, where it can: on or off"),
        Setting("issuer", default: "ringway", "the iss claim of access tokens"),
        Setting("audience", default: "ringway", "the aud claim of access tokens"),
        Setting("hasher-threads", default: "0", "passwords hashed at a time; 0: one a core but one"),
        Setting("hasher-queue", default: "64", "passwords that may wait; one more is told when to come back"),
        Setting("friends-max", default: "5000", "friends a user may have"),
        Setting("friend-groups-max", default: "100", "friend groups a user may have"),
        Setting("friend-requests-max", default: "10000", "pending requests a user may have sent, and as many received"),
        Setting("friend-request-days", default: "30", "after how many days an unanswered request ends"),
        Setting("blocks-max", default: "10000", "users that a user may block"),
        Setting("picture-threads", default: "1", "uploaded avatars decoded at a time, each in up to 160 MiB"),
        Setting("picture-queue", default: "16", "avatars that may wait; one more is told when to come back"),
        Setting("argon2-kib", default: "19456", "memory of a password's hash; a raise takes effect as users log in"),
        Setting("argon2-passes", default: "2", "passes of a password's hash"),
        Setting("access-token-seconds", default: "600", "life of an access token, at most 600"),
        Setting("devices-max", default: "32", "devices a user; one more ends the one seen least recently"),
        Setting("reserved-usernames", default: "usual", "names for nobody, by commas; usual stands for admin and the like"),
        Setting("deletion-grace-hours", default: "336", "from the wish to delete an account to its end"),
        Setting("maintenance-seconds", default: "30", "how often to look for new signing keys and accounts to end"),
        Setting("limit-address", default: "60/60", "register, log-in and refresh from an address: count/seconds; 0: none"),
        Setting("limit-guesses", default: "10/300", "wrong passwords for a name from an address; 0: none"),
        Setting("limit-account", default: "100/3600", "wrong passwords for a name from anywhere; 0: none"),
        Setting("limit-device", default: "60/60", "refreshes and account changes by a device; 0: none"),
        Setting("limit-search", default: "60/60", "searches by a user; 0: none"),
        Setting("limit-search-address", default: "600/60", "searches from an address; 0: none"),
        Setting("limit-requests", default: "60/60", "friend requests by a user; 0: none"),
        Setting("limit-requests-target", default: "10/3600", "friend requests by a user to one other; 0: none"),
        Setting(
            "limit-relations", default: "300/60", "answers to requests, changes of friends, groups, blocks by a user; 0: none"),
        Setting("limit-changes", default: "120/60", "changes of profile and settings by a user; 0: none"),
        Setting("limit-pictures", default: "5/60", "pictures uploaded by a user; 0: none"),
        Setting("trusted-proxies", default: "", "balancers that may say whose a request is: addresses or 10.0.0.0/8, by commas"),
        Setting("proxy-header", default: "x-forwarded-for", "in which header they say it: x-forwarded-for or forwarded"),
        Setting("service-secret", default: "", secret: true, "32 bytes or more that nodes share; empty: none serves another"),
        Setting("log-level", default: "info", "trace, debug, info, notice, warning, error or critical"),
    ]

    /// Ours, but read by other commands or by scripts.
    private static let others: Set<String> = [
        "RINGWAY_PASSWORD", "RINGWAY_HOME", "RINGWAY_CA_FILE", "RINGWAY_TEST_POSTGRES_URL",
    ]

    init(arguments: [String]) throws {
        do {
            let settings = try Settings(
                Self.known, arguments: arguments, environment: ProcessInfo.processInfo.environment,
                ignoring: Self.others
            ) { try String(contentsOfFile: $0, encoding: .utf8) }
            try self.init(settings)
        } catch let error as SettingsError {
            throw Complaint(line: error.description, code: 64)
        }
    }

    private init(_ settings: Settings) throws {
        let ports = 1...65_535
        address = settings.string("address")
        wsPort = try settings.int("ws-port", in: ports)
        httpPort = try settings.int("http-port", in: ports)
        grpcPort = try settings.int("grpc-port", in: ports)
        opsPort = try settings.int("ops-port", in: ports)
        postgresURL = settings.string("postgres-url")
        guard !postgresURL.isEmpty else {
            throw Complaint(
                line:
                    "no database is named; set --postgres-url or RINGWAY_POSTGRES_URL (that of make run: "
                    + "scripts/postgres.sh url .ringway/postgres)")
        }
        postgresPool = try settings.int("postgres-pool", in: 1...1000)
        cachePlace = try Self.cachePlace(settings)
        cacheBytesMax = try settings.int("cache-bytes-max", in: 0...Int.max)
        cacheSeconds = try settings.int("cache-seconds", in: 1...86_400)
        let named = settings.string("migrations")
        migrations = named.isEmpty ? Self.findMigrations() : named
        logLevel = settings.string("log-level")
        pictureThreads = try settings.int("picture-threads", in: 1...64)
        pictureQueue = try settings.int("picture-queue", in: 1...10_000)
        var searchLimits = SearchLimits()
        searchLimits.userLimit = try Self.limit("limit-search", settings)
        searchLimits.addressLimit = try Self.limit("limit-search-address", settings)
        self.searchLimits = searchLimits
        var friendshipLimits = FriendshipLimits()
        friendshipLimits.requestLimit = try Self.limit("limit-requests", settings)
        friendshipLimits.targetLimit = try Self.limit("limit-requests-target", settings)
        friendshipLimits.changeLimit = try Self.limit("limit-relations", settings)
        self.friendshipLimits = friendshipLimits
        var changeLimits = ChangeLimits()
        changeLimits.userLimit = try Self.limit("limit-changes", settings)
        changeLimits.pictureLimit = try Self.limit("limit-pictures", settings)
        self.changeLimits = changeLimits

        var gateway = GatewaySettings()
        gateway.address = address
        gateway.port = UInt16(wsPort)
        gateway.reactors = try settings.int("reactors", in: 0...256)
        guard let io = Backend(rawValue: settings.string("io")) else {
            throw Complaint(line: "--io must be auto, io_uring or epoll, not \(settings.string("io"))", code: 64)
        }
        gateway.io = io
        gateway.connectionsMax = try settings.int("connections-max", in: 1...1_000_000)
        gateway.strangersPerAddress = try settings.int("strangers-per-address", in: 0...1_000_000)
        gateway.deflate = try Self.deflate(settings)
        gateway.heartbeat = .milliseconds(try settings.int("heartbeat-ms", in: 100...3_600_000))
        gateway.drainWindow = .milliseconds(try settings.int("drain-ms", in: 0...3_600_000))
        gateway.origins = settings.list("origins")
        gateway.certificate = try CertificateFiles(
            named: settings.string("tls-cert"), key: settings.string("tls-key"))
        gateway.kernelTLS = try Self.isOn("kernel-tls", settings)
        gateway.publicURL = settings.string("public-url")
        self.gateway = gateway

        var auth = AuthSettings()
        auth.issuer = settings.string("issuer")
        auth.audience = settings.string("audience")
        let threads = try settings.int("hasher-threads", in: 0...256)
        if threads > 0 { auth.hasherThreads = threads }
        auth.hasherQueue = try settings.int("hasher-queue", in: 1...100_000)
        auth.hashCost.kibibytes = UInt32(try settings.int("argon2-kib", in: 19_456...4_194_304))
        auth.hashCost.passes = UInt32(try settings.int("argon2-passes", in: 2...64))
        auth.accessTokenLifetime = .seconds(try settings.int("access-token-seconds", in: 10...600))
        auth.devicesMax = try settings.int("devices-max", in: 1...1000)
        guard let reserved = ReservedUsernames(settings.list("reserved-usernames")) else {
            throw Complaint(line: "--reserved-usernames must be usernames, by commas", code: 64)
        }
        auth.reservedUsernames = reserved
        auth.deletionGrace = .seconds(3600 * (try settings.int("deletion-grace-hours", in: 0...87_600)))
        // No longer than the least `ringway keys rotate --delay`: a key is known to every node before it signs.
        auth.maintenanceInterval = .seconds(try settings.int("maintenance-seconds", in: 1...60))
        auth.addressLimit = try Self.limit("limit-address", settings)
        auth.guessLimit = try Self.limit("limit-guesses", settings)
        auth.accountLimit = try Self.limit("limit-account", settings)
        auth.deviceLimit = try Self.limit("limit-device", settings)
        self.auth = auth
        friendship = try Self.friendship(settings)
        proxies = try Self.proxies(settings)
        self.gateway.proxies = proxies
        http = HTTPAPIConfiguration(
            host: address, port: httpPort, connectionsMax: try settings.int("http-connections-max", in: 1...1_000_000),
            strangersPerAddress: try settings.int("http-strangers-per-address", in: 0...1_000_000), proxies: proxies)
        grpc = try Self.grpc(settings, address, grpcPort, proxies)
        servesReflection = try Self.isOn("grpc-reflection", settings)
        let secret = settings.string("service-secret")
        serviceSecret = ServiceSecret(secret)
        guard secret.isEmpty || serviceSecret != nil else {
            throw Complaint(line: "--service-secret must have at least 32 bytes", code: 64)
        }
    }

    /// Where facts are cached.
    private enum CachePlace {
        case nowhere, memory
        case redis(RedisConfiguration, patience: Duration)
    }

    func makeCache() -> Cache {
        let kinds = profileCacheKinds + friendshipCacheKinds
        switch cachePlace {
        case .nowhere:
            return .off
        case .memory:
            return .inMemory(kinds: kinds, bytesMax: cacheBytesMax, lifetime: .seconds(cacheSeconds))
        case .redis(let redis, let patience):
            return .shared(
                in: redis, kinds: kinds, bytesMax: cacheBytesMax, lifetime: .seconds(cacheSeconds), patience: patience,
                logger: Logger(label: "ringway.redis"))
        }
    }

    private static func cachePlace(_ settings: Settings) throws -> CachePlace {
        let url = settings.string("redis-url")
        let patience = try settings.int("redis-deadline-ms", in: 1...1000)
        let place = settings.string("cache")
        switch place {
        case "off": return .nowhere
        case "memory": return .memory
        case "auto" where url.isEmpty: return .memory
        case "redis" where url.isEmpty:
            throw Complaint(line: "--cache redis needs --redis-url or RINGWAY_REDIS_URL", code: 64)
        case "auto", "redis":
            do throws(RedisError) {
                return .redis(try RedisConfiguration(url: url), patience: .milliseconds(patience))
            } catch {
                throw Complaint(line: "--redis-url can't be used: \(error.reason)", code: 64)
            }
        default:
            throw Complaint(line: "--cache must be auto, redis, memory or off, not \(place)", code: 64)
        }
    }

    private static func limit(_ name: String, _ settings: Settings) throws -> RateLimit {
        guard let limit = RateLimit(settings.string(name)) else {
            throw Complaint(line: "--\(name) must be count/seconds, such as 10/300, or 0", code: 64)
        }
        return limit
    }

    private static func isOn(_ name: String, _ settings: Settings) throws -> Bool {
        let answer = settings.string(name)
        guard answer == "on" || answer == "off" else {
            throw Complaint(line: "--\(name) must be on or off, not \(answer)", code: 64)
        }
        return answer == "on"
    }

    private static func proxies(_ settings: Settings) throws -> TrustedProxies {
        let ranges = try settings.list("trusted-proxies").map { text in
            guard let range = IPRange(text) else {
                throw Complaint(line: "--trusted-proxies must be addresses or ranges like 10.0.0.0/8, not \(text)", code: 64)
            }
            return range
        }
        guard let header = TrustedProxies.Header(rawValue: settings.string("proxy-header")) else {
            throw Complaint(line: "--proxy-header must be x-forwarded-for or forwarded", code: 64)
        }
        return TrustedProxies(ranges, header: header)
    }

    private static func deflate(_ settings: Settings) throws -> DeflateSettings {
        var deflate = DeflateSettings()
        deflate.isOn = try isOn("deflate", settings)
        deflate.windowBits = try settings.int("deflate-window-bits", in: 9...15)
        deflate.level = try settings.int("deflate-level", in: 1...9)
        deflate.thresholdBytes = try settings.int("deflate-threshold-bytes", in: 126...Int(UInt32.max))
        deflate.bytesMax = try settings.int("deflate-bytes-max", in: 0...Int.max)
        return deflate
    }

    private static func grpc(
        _ settings: Settings, _ address: String, _ port: Int, _ proxies: TrustedProxies
    ) throws -> GRPCAPIConfiguration {
        var grpc = GRPCAPIConfiguration(host: address, port: port, proxies: proxies)
        let seconds = 1...86_400
        grpc.connectionsMax = try settings.int("grpc-connections-max", in: 1...1_000_000)
        grpc.strangersPerAddress = try settings.int("grpc-strangers-per-address", in: 0...1_000_000)
        grpc.streamsMax = try settings.int("grpc-streams-max", in: 1...100)
        grpc.idleTimeout = .seconds(try settings.int("grpc-idle-seconds", in: seconds))
        grpc.ageMax = .seconds(try settings.int("grpc-age-seconds", in: seconds))
        grpc.keepalive = .seconds(try settings.int("grpc-keepalive-seconds", in: seconds))
        return grpc
    }

    private static func friendship(_ settings: Settings) throws -> FriendshipSettings {
        var friendship = FriendshipSettings()
        let counts = 0...1_000_000
        friendship.friendsMax = try settings.int("friends-max", in: counts)
        // All of them are in one event and one answer, which with the longest names has to fit a socket's frame.
        friendship.groupsMax = try settings.int("friend-groups-max", in: 0...300)
        friendship.requestsMax = try settings.int("friend-requests-max", in: counts)
        friendship.blocksMax = try settings.int("blocks-max", in: counts)
        friendship.requestLifetime = .seconds(86_400 * (try settings.int("friend-request-days", in: 1...3650)))
        return friendship
    }

    /// deploy/migrations in the working directory, or beside the binary or above it.
    private static func findMigrations() -> String {
        let path = "deploy/migrations"
        var directory = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        var candidates = [FileManager.default.currentDirectoryPath + "/" + path]
        while directory.path != "/" {
            directory.deleteLastPathComponent()
            candidates.append(directory.path + "/" + path)
        }
        return candidates.first { FileManager.default.fileExists(atPath: $0) } ?? path
    }
}
