// The routes of avatars, whose bodies are pictures and not JSON. How a route is written: Routes.swift.
import Contract
import Foundation
import GRPCCore
import HTTPTypes
import NIOCore
import ServiceKit

func avatarRoutes(_ profiles: some Ringway_V1_ProfileService.ClientProtocol) -> [Route] {
    let pictures = Route.Intake(
        contentTypes: ["image/png", "image/jpeg", "image/webp"], bytesMax: 2 << 20,
        admit: { try await profiles.getMyProfile(.init(), metadata: $0, options: $1).userID })
    return [
        Route(.put, "/v1/profiles/me/avatar", intake: pictures) { parameters, body, metadata, options in
            let request = Ringway_V1_SetMyAvatarRequest.with {
                $0.contentType = Route.Intake.mediaType(of: parameters.headers[.contentType] ?? "")
                $0.image = Data(body.readableBytesView)
            }
            let profile = try await profiles.setMyAvatar(request, metadata: metadata, options: options)
            return Route.Answer(body: ByteBuffer(bytes: try profile.jsonAnswer()))
        },
        Route(.delete, "/v1/profiles/me/avatar") {
            try await profiles.removeMyAvatar($0, metadata: $1, options: $2)
        },
        Route(.get, "/v1/avatars/{hash}") { parameters, _, metadata, options in
            let hash = String(parameters.path["hash"] ?? "")
            let request = Ringway_V1_GetAvatarRequest.with { $0.hash = hash }
            return try await answer(request, parameters) {
                try await profiles.getAvatar($0, metadata: metadata, options: options)
            }
        },
    ]
}

/// A picture never changes under its hash, so it may be kept for good (RFC 8246). nosniff is on every answer; the policy
/// keeps whoever opens the address from being shown anything but a picture.
private func answer(
    _ request: Ringway_V1_GetAvatarRequest, _ parameters: Parameters,
    call: (Ringway_V1_GetAvatarRequest) async throws -> Ringway_V1_GetAvatarResponse
) async throws -> Route.Answer {
    var request = request
    request.size = try parameters.count("size")
    let avatar = try await call(request)
    let tag = "\"\(request.hash)-\(request.size)\""
    var answer = Route.Answer(headers: [
        .eTag: tag, .cacheControl: "public, max-age=31536000, immutable",
        .contentSecurityPolicy: "default-src 'none'; sandbox",
    ])
    if parameters.headers[.ifNoneMatch].map({ $0 == "*" || $0.contains(tag) }) == true {
        answer.status = .notModified
    } else {
        answer.headers[.contentType] = avatar.contentType
        answer.body = ByteBuffer(bytes: avatar.image)
    }
    return answer
}
