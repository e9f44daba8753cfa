// swift-tools-version: 6.1
// One target a module, so that the build enforces the direction of the arrows (docs/architecture.md).
import PackageDescription

let grpc: [Target.Dependency] = [
    .product(name: "GRPCCore", package: "grpc-swift-2"),
    .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
    .product(name: "SwiftProtobuf", package: "swift-protobuf"),
]
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
    name: "ringway",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "ringway", targets: ["ringway"]),
        .library(name: "RingwayClient", targets: ["RingwayClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    ],
    targets: [
        // The C core: bytes to events and back.
        .target(name: "CMemory", path: "CSources/CMemory"),
        .target(
            name: "CWebSocket", dependencies: ["CMemory"], path: "CSources/CWebSocket",
            linkerSettings: [.linkedLibrary("z")]),
        .target(
            name: "CReactor", dependencies: ["CMemory"], path: "CSources/CReactor",
            linkerSettings: [.linkedLibrary("uring"), .linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CGateway", dependencies: ["CReactor", "CWebSocket", "CMemory"], path: "CSources/CGateway"),
        .systemLibrary(name: "CPostgres", path: "CSources/CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CRedis", path: "CSources/CRedis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CEventLoop", path: "CSources/CEventLoop"),
        .systemLibrary(name: "CArgon2", path: "CSources/CArgon2", pkgConfig: "libargon2", providers: [.apt(["libargon2-dev"])]),

        .systemLibrary(
            name: "CImage", path: "CSources/CImage",
            providers: [.apt(["libpng-dev", "libturbojpeg0-dev", "libwebp-dev"])]),

        // What everything stands on.
        .target(
            name: "Contract", dependencies: grpc, exclude: ["proto"], resources: [.embedInCode("Generated/contract.binpb")]),
        .target(name: "Reactor", dependencies: ["CGateway"]),
        .target(name: "EventLoop", dependencies: ["CEventLoop"]),
        .target(name: "Postgres", dependencies: ["CPostgres", "EventLoop", logging]),
        .target(name: "Redis", dependencies: ["CRedis", "EventLoop", logging]),
        .target(
            name: "ServiceKit",
            dependencies: ["Contract", "Postgres", logging, .product(name: "Crypto", package: "swift-crypto")] + grpc),

        .target(name: "Outbox", dependencies: ["Postgres", logging]),
        .target(name: "Cache", dependencies: ["Postgres", "Redis", logging]),

        // The services: each has rules, a store and a handler.
        .target(
            name: "Auth",
            dependencies: [
                "CArgon2", "Contract", "Outbox", "Postgres", "ServiceKit", logging,
                .product(name: "Crypto", package: "swift-crypto"),
            ] + grpc,
            exclude: ["Resources/README.md", "Resources/LICENSE.django"],
            resources: [.embedInCode("Resources/common-passwords.txt")]),
        .target(
            name: "Profile",
            dependencies: [
                "CImage", "Cache", "Contract", "Outbox", "Postgres", "ServiceKit",
                .product(name: "Crypto", package: "swift-crypto"),
            ] + grpc),
        .target(name: "Friendship", dependencies: ["Cache", "Contract", "Outbox", "Postgres", "ServiceKit"] + grpc),
        .target(name: "Inbox", dependencies: ["Contract", "Outbox", "Postgres", "ServiceKit"] + grpc),

        // The doors.
        .target(name: "Gateway", dependencies: ["Contract", "Inbox", "Reactor", "ServiceKit"] + grpc),
        .target(
            name: "HTTPAPI",
            dependencies: [
                "Connections", "Contract", "ServiceKit", logging,
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"), .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ] + grpc,
            resources: [.copy("Resources")]),
        .target(name: "Connections", dependencies: [.product(name: "NIOCore", package: "swift-nio")]),
        .target(
            name: "GRPCAPI",
            dependencies: [
                "Connections", "Contract", "ServiceKit",
                .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"), .product(name: "NIOHPACK", package: "swift-nio-http2"),
            ] + grpc),
        .target(
            name: "RingwayClient",
            dependencies: [
                "Contract", logging,
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ] + grpc),
        .executableTarget(
            name: "ringway",
            dependencies: [
                "Auth", "Cache", "Connections", "Profile", "Friendship", "Inbox", "Gateway", "GRPCAPI", "HTTPAPI",
                "RingwayClient", "Outbox", "Postgres", "Reactor", "Redis", "ServiceKit", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "GRPCInProcessTransport", package: "grpc-swift-2"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ] + grpc),

        // The Swift loop beside its clients, for the regression gate.
        .target(name: "BenchClient", path: "bench/client"),
        .executableTarget(
            name: "lockstep-swift",
            dependencies: ["BenchClient", "Reactor", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "bench/lockstep-swift"),

        .testTarget(name: "PostgresTests", dependencies: ["Postgres", "TestSupport", logging]),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor", "TestSupport"]),
        .testTarget(name: "ServiceKitTests", dependencies: ["ServiceKit"]),
        .testTarget(name: "AuthTests", dependencies: ["Auth", "Friendship", "Inbox", "Outbox", "Profile", "TestSupport"]),
        .testTarget(name: "RedisTests", dependencies: ["Redis", "TestSupport", logging]),
        .testTarget(name: "CacheTests", dependencies: ["Cache", "Friendship", "Profile", "Redis", "TestSupport"]),
        .testTarget(name: "OutboxTests", dependencies: ["Outbox", "TestSupport", logging]),
        .testTarget(name: "ProfileTests", dependencies: ["CImage", "Profile", "TestSupport"]),
        .testTarget(name: "FriendshipTests", dependencies: ["Friendship", "TestSupport"]),
        .testTarget(name: "InboxTests", dependencies: ["Inbox", "TestSupport"]),
        .testTarget(name: "GatewayTests", dependencies: ["Gateway", "TestSupport"]),
        .testTarget(
            name: "RingwayClientTests",
            dependencies: [
                "HTTPAPI", "RingwayClient", "ServiceKit", "TestSupport", logging,
                .product(name: "GRPCInProcessTransport", package: "grpc-swift-2"),
            ] + grpc),
        .testTarget(
            name: "HTTPAPITests",
            dependencies: [
                "HTTPAPI", "TestSupport", .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "GRPCInProcessTransport", package: "grpc-swift-2"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
            ]),
        .testTarget(
            name: "ConnectionsTests",
            dependencies: [
                "Connections", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
        .testTarget(
            name: "GRPCAPITests",
            dependencies: [
                "Connections", "Contract", "GRPCAPI", "ServiceKit", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"), .product(name: "NIOHPACK", package: "swift-nio-http2"),
            ] + grpc),
        .target(
            name: "TestSupport",
            dependencies: [
                "Contract", "Postgres", "ServiceKit", logging,
                .product(name: "GRPCInProcessTransport", package: "grpc-swift-2"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ] + grpc,
            path: "Tests/TestSupport"),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)
