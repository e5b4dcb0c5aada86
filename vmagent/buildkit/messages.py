"""The messages of BuildKit's API, with the fields that this engine reads or writes.

Numbers and names are those of BuildKit's api/services/control/control.proto, api/types/worker.proto,
frontend/gateway/pb/gateway.proto, solver/pb/ops.proto, util/apicaps/pb/caps.proto, session/*/*.proto, of fsutil's
types/*.proto and of containerd's api/services/content/v1/content.proto; `Status` and `Detail` are google.rpc.Status and
google.protobuf.Any.
"""

from __future__ import annotations

from typing import Annotated

from vmagent.buildkit.protobuf import Message, Timestamp, message


@message("google.protobuf.Any")
class Detail(Message):
    type_url: Annotated[str, 1]
    value: Annotated[bytes, 2]


@message("google.rpc.Status")
class Status(Message):
    code: Annotated[int, 1]
    message: Annotated[str, 2]
    details: Annotated[list[Detail], 3]


@message("pb.Platform")
class Platform(Message):
    Architecture: Annotated[str, 1]
    OS: Annotated[str, 2]
    Variant: Annotated[str, 3]


@message("pb.SourceInfo")
class SourceInfo(Message):
    filename: Annotated[str, 1]
    data: Annotated[bytes, 2]
    language: Annotated[str, 4]


@message("pb.Position")
class Position(Message):
    line: Annotated[int, 1]
    character: Annotated[int, 2]


@message("pb.Range")
class Range(Message):
    start: Annotated[Position, 1]
    end: Annotated[Position, 2]


# A definition of LLB. The builder works on Dockerfiles, so its content is not read; a request that has one is refused.
@message("pb.Definition")
class Llb(Message):
    operations: Annotated[list[bytes], 1]


@message("moby.buildkit.v1.types.BuildkitVersion")
class BuildkitVersion(Message):
    package: Annotated[str, 1]
    version: Annotated[str, 2]
    revision: Annotated[str, 3]


@message("moby.buildkit.v1.types.GCPolicy")
class GCPolicy(Message):
    all: Annotated[bool, 1]
    keepDuration: Annotated[int, 2]
    reservedSpace: Annotated[int, 3]
    filters: Annotated[list[str], 4]
    maxUsedSpace: Annotated[int, 5]
    minFreeSpace: Annotated[int, 6]


@message("moby.buildkit.v1.types.WorkerRecord")
class WorkerRecord(Message):
    ID: Annotated[str, 1]
    Labels: Annotated[dict[str, str], 2]
    platforms: Annotated[list[Platform], 3]
    GCPolicy: Annotated[list[GCPolicy], 4]
    BuildkitVersion: Annotated[BuildkitVersion, 5]


# --- moby.buildkit.v1.Control


@message("moby.buildkit.v1.InfoRequest")
class InfoRequest(Message):
    pass


@message("moby.buildkit.v1.InfoResponse")
class InfoResponse(Message):
    buildkitVersion: Annotated[BuildkitVersion, 1]


@message("moby.buildkit.v1.ListWorkersRequest")
class ListWorkersRequest(Message):
    filter: Annotated[list[str], 1]


@message("moby.buildkit.v1.ListWorkersResponse")
class ListWorkersResponse(Message):
    record: Annotated[list[WorkerRecord], 1]


@message("moby.buildkit.v1.UsageRecord")
class UsageRecord(Message):
    ID: Annotated[str, 1]
    Mutable: Annotated[bool, 2]
    InUse: Annotated[bool, 3]
    Size: Annotated[int, 4]
    CreatedAt: Annotated[Timestamp, 6]
    LastUsedAt: Annotated[Timestamp, 7]
    UsageCount: Annotated[int, 8]
    Description: Annotated[str, 9]
    RecordType: Annotated[str, 10]
    Shared: Annotated[bool, 11]
    Parents: Annotated[list[str], 12]


@message("moby.buildkit.v1.DiskUsageRequest")
class DiskUsageRequest(Message):
    filter: Annotated[list[str], 1]
    ageLimit: Annotated[int, 2]


@message("moby.buildkit.v1.DiskUsageResponse")
class DiskUsageResponse(Message):
    record: Annotated[list[UsageRecord], 1]


@message("moby.buildkit.v1.PruneRequest")
class PruneRequest(Message):
    filter: Annotated[list[str], 1]
    all: Annotated[bool, 2]
    keepDuration: Annotated[int, 3]
    reservedSpace: Annotated[int, 4]
    maxUsedSpace: Annotated[int, 5]
    minFreeSpace: Annotated[int, 6]


@message("moby.buildkit.v1.Exporter")
class Exporter(Message):
    Type: Annotated[str, 1]
    Attrs: Annotated[dict[str, str], 2]


@message("moby.buildkit.v1.CacheOptionsEntry")
class CacheOptionsEntry(Message):
    Type: Annotated[str, 1]
    Attrs: Annotated[dict[str, str], 2]


@message("moby.buildkit.v1.CacheOptions")
class CacheOptions(Message):
    Exports: Annotated[list[CacheOptionsEntry], 4]
    Imports: Annotated[list[CacheOptionsEntry], 5]


@message("moby.buildkit.v1.SolveRequest")
class SolveRequest(Message):
    Ref: Annotated[str, 1]
    Definition: Annotated[Llb, 2]
    ExporterDeprecated: Annotated[str, 3]
    ExporterAttrsDeprecated: Annotated[dict[str, str], 4]
    Session: Annotated[str, 5]
    Frontend: Annotated[str, 6]
    FrontendAttrs: Annotated[dict[str, str], 7]
    Cache: Annotated[CacheOptions, 8]
    Entitlements: Annotated[list[str], 9]
    FrontendInputs: Annotated[dict[str, Llb], 10]
    Internal: Annotated[bool, 11]
    Exporters: Annotated[list[Exporter], 13]


@message("moby.buildkit.v1.SolveResponse")
class SolveResponse(Message):
    ExporterResponse: Annotated[dict[str, str], 1]


@message("moby.buildkit.v1.StatusRequest")
class StatusRequest(Message):
    Ref: Annotated[str, 1]


@message("moby.buildkit.v1.Vertex")
class Vertex(Message):
    digest: Annotated[str, 1]
    inputs: Annotated[list[str], 2]
    name: Annotated[str, 3]
    cached: Annotated[bool, 4]
    started: Annotated[Timestamp, 5]
    completed: Annotated[Timestamp, 6]
    error: Annotated[str, 7]


@message("moby.buildkit.v1.VertexStatus")
class VertexStatus(Message):
    ID: Annotated[str, 1]
    vertex: Annotated[str, 2]
    name: Annotated[str, 3]
    current: Annotated[int, 4]
    total: Annotated[int, 5]
    timestamp: Annotated[Timestamp, 6]
    started: Annotated[Timestamp, 7]
    completed: Annotated[Timestamp, 8]


@message("moby.buildkit.v1.VertexLog")
class VertexLog(Message):
    vertex: Annotated[str, 1]
    timestamp: Annotated[Timestamp, 2]
    stream: Annotated[int, 3]
    msg: Annotated[bytes, 4]


@message("moby.buildkit.v1.VertexWarning")
class VertexWarning(Message):
    vertex: Annotated[str, 1]
    level: Annotated[int, 2]
    short: Annotated[bytes, 3]
    detail: Annotated[list[bytes], 4]
    url: Annotated[str, 5]
    info: Annotated[SourceInfo, 6]
    ranges: Annotated[list[Range], 7]


@message("moby.buildkit.v1.StatusResponse")
class StatusResponse(Message):
    vertexes: Annotated[list[Vertex], 1]
    statuses: Annotated[list[VertexStatus], 2]
    logs: Annotated[list[VertexLog], 3]
    warnings: Annotated[list[VertexWarning], 4]


@message("moby.buildkit.v1.Descriptor")
class Descriptor(Message):
    media_type: Annotated[str, 1]
    digest: Annotated[str, 2]
    size: Annotated[int, 3]
    annotations: Annotated[dict[str, str], 5]


@message("moby.buildkit.v1.BuildResultInfo")
class BuildResultInfo(Message):
    ResultDeprecated: Annotated[Descriptor, 1]
    Results: Annotated[dict[int, Descriptor], 3]


@message("moby.buildkit.v1.BuildHistoryRequest")
class BuildHistoryRequest(Message):
    ActiveOnly: Annotated[bool, 1]
    Ref: Annotated[str, 2]
    EarlyExit: Annotated[bool, 3]
    Filter: Annotated[list[str], 4]
    Limit: Annotated[int, 5]


@message("moby.buildkit.v1.BuildHistoryRecord")
class BuildHistoryRecord(Message):
    Ref: Annotated[str, 1]
    Frontend: Annotated[str, 2]
    FrontendAttrs: Annotated[dict[str, str], 3]
    Exporters: Annotated[list[Exporter], 4]
    error: Annotated[Status, 5]
    CreatedAt: Annotated[Timestamp, 6]
    CompletedAt: Annotated[Timestamp, 7]
    logs: Annotated[Descriptor, 8]
    ExporterResponse: Annotated[dict[str, str], 9]
    Result: Annotated[BuildResultInfo, 10]
    Generation: Annotated[int, 12]
    pinned: Annotated[bool, 14]
    numCachedSteps: Annotated[int, 15]
    numTotalSteps: Annotated[int, 16]
    numCompletedSteps: Annotated[int, 17]
    numWarnings: Annotated[int, 19]


HISTORY_STARTED, HISTORY_COMPLETE, HISTORY_DELETED = range(3)


@message("moby.buildkit.v1.BuildHistoryEvent")
class BuildHistoryEvent(Message):
    type: Annotated[int, 1]
    record: Annotated[BuildHistoryRecord, 2]


@message("moby.buildkit.v1.UpdateBuildHistoryRequest")
class UpdateBuildHistoryRequest(Message):
    Ref: Annotated[str, 1]
    Pinned: Annotated[bool, 2]
    Delete: Annotated[bool, 3]
    Finalize: Annotated[bool, 4]


@message("moby.buildkit.v1.UpdateBuildHistoryResponse")
class UpdateBuildHistoryResponse(Message):
    pass


# --- moby.buildkit.v1.frontend.LLBBridge


@message("moby.buildkit.v1.apicaps.APICap")
class APICap(Message):
    ID: Annotated[str, 1]
    Enabled: Annotated[bool, 2]


@message("moby.buildkit.v1.frontend.PingRequest")
class PingRequest(Message):
    pass


@message("moby.buildkit.v1.frontend.PongResponse")
class PongResponse(Message):
    FrontendAPICaps: Annotated[list[APICap], 1]
    LLBCaps: Annotated[list[APICap], 2]
    Workers: Annotated[list[WorkerRecord], 3]


@message("moby.buildkit.v1.frontend.Ref")
class Ref(Message):
    id: Annotated[str, 1]


@message("moby.buildkit.v1.frontend.RefMap")
class RefMap(Message):
    refs: Annotated[dict[str, Ref], 1]


@message("moby.buildkit.v1.frontend.Result")
class Result(Message):
    ref: Annotated[Ref, 3]
    refs: Annotated[RefMap, 4]
    metadata: Annotated[dict[str, bytes], 10]


@message("moby.buildkit.v1.frontend.SolveRequest")
class FrontendSolveRequest(Message):
    Definition: Annotated[Llb, 1]
    Frontend: Annotated[str, 2]
    FrontendOpt: Annotated[dict[str, str], 3]
    CacheImports: Annotated[list[CacheOptionsEntry], 12]
    FrontendInputs: Annotated[dict[str, Llb], 13]
    Evaluate: Annotated[bool, 14]


@message("moby.buildkit.v1.frontend.SolveResponse")
class FrontendSolveResponse(Message):
    result: Annotated[Result, 3]


@message("moby.buildkit.v1.frontend.ReturnRequest")
class ReturnRequest(Message):
    result: Annotated[Result, 1]
    error: Annotated[Status, 2]


@message("moby.buildkit.v1.frontend.ReturnResponse")
class ReturnResponse(Message):
    pass


@message("moby.buildkit.v1.frontend.InputsRequest")
class InputsRequest(Message):
    pass


@message("moby.buildkit.v1.frontend.InputsResponse")
class InputsResponse(Message):
    Definitions: Annotated[dict[str, Llb], 1]


@message("moby.buildkit.v1.frontend.EvaluateRequest")
class EvaluateRequest(Message):
    Ref: Annotated[str, 1]


@message("moby.buildkit.v1.frontend.EvaluateResponse")
class EvaluateResponse(Message):
    pass


# --- services of the client's session


@message("fsutil.types.Stat")
class Stat(Message):
    path: Annotated[str, 1]
    mode: Annotated[int, 2]  # Go's os.FileMode
    uid: Annotated[int, 3]
    gid: Annotated[int, 4]
    size: Annotated[int, 5]
    modTime: Annotated[int, 6]  # nanoseconds since 1970
    linkname: Annotated[str, 7]
    devmajor: Annotated[int, 8]
    devminor: Annotated[int, 9]
    xattrs: Annotated[dict[str, bytes], 10]


PACKET_STAT, PACKET_REQ, PACKET_DATA, PACKET_FIN, PACKET_ERR = range(5)


@message("fsutil.types.Packet")
class Packet(Message):
    type: Annotated[int, 1]
    stat: Annotated[Stat, 2]
    ID: Annotated[int, 3]
    data: Annotated[bytes, 4]


# One message of this form serves FileSend, Upload, SSH and Control.Session.
@message("moby.filesync.v1.BytesMessage")
class BytesMessage(Message):
    data: Annotated[bytes, 1]


@message("moby.filesync.v1.CredentialsRequest")
class CredentialsRequest(Message):
    Host: Annotated[str, 1]


@message("moby.filesync.v1.CredentialsResponse")
class CredentialsResponse(Message):
    Username: Annotated[str, 1]
    Secret: Annotated[str, 2]


@message("containerd.services.content.v1.ReadContentRequest")
class ReadContentRequest(Message):
    digest: Annotated[str, 1]
    offset: Annotated[int, 2]
    size: Annotated[int, 3]


@message("containerd.services.content.v1.ReadContentResponse")
class ReadContentResponse(Message):
    offset: Annotated[int, 1]
    data: Annotated[bytes, 2]


CONTENT_STAT, CONTENT_WRITE, CONTENT_COMMIT = range(3)


@message("containerd.services.content.v1.WriteContentRequest")
class WriteContentRequest(Message):
    action: Annotated[int, 1]
    ref: Annotated[str, 2]
    total: Annotated[int, 3]
    expected: Annotated[str, 4]
    offset: Annotated[int, 5]
    data: Annotated[bytes, 6]


@message("containerd.services.content.v1.WriteContentResponse")
class WriteContentResponse(Message):
    action: Annotated[int, 1]
    offset: Annotated[int, 4]
    total: Annotated[int, 5]
    digest: Annotated[str, 6]


@message("moby.buildkit.secrets.v1.GetSecretRequest")
class GetSecretRequest(Message):
    ID: Annotated[str, 1]


@message("moby.buildkit.secrets.v1.GetSecretResponse")
class GetSecretResponse(Message):
    data: Annotated[bytes, 1]


@message("moby.sshforward.v1.CheckAgentRequest")
class CheckAgentRequest(Message):
    ID: Annotated[str, 1]


@message("moby.sshforward.v1.CheckAgentResponse")
class CheckAgentResponse(Message):
    pass


@message("grpc.health.v1.HealthCheckRequest")
class HealthCheckRequest(Message):
    service: Annotated[str, 1]


@message("grpc.health.v1.HealthCheckResponse")
class HealthCheckResponse(Message):
    status: Annotated[int, 1]
