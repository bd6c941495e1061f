#!/usr/bin/env bash
# Brings Vitrine to ECS and keeps it there; whatever is as it should be already is left alone.
#   deploy.sh              everything: registry, image, network, monitoring, rules, data, service
#   deploy.sh release      the image of this commit, and the service with it
#   deploy.sh rollback TAG the service with an image that is in the registry
#   deploy.sh restart      new tasks of the same image: they read changed secrets
#   deploy.sh run COMMAND… a task of the image beside the workers: python -m project jobs list
#   deploy.sh stack NAME   one of the stacks: network, monitoring, rules, data, service
#   deploy.sh status       what runs, and what went wrong last
# Settings: vitrine.env beside this file, or the file that VITRINE_ENV names.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'deploy.sh: %s\n' "$*" >&2
  exit 1
}

settings="${VITRINE_ENV:-$here/vitrine.env}"
[ -f "$settings" ] || fail "no settings: copy vitrine.example.env to $settings and fill it in"
set -a
# shellcheck source=/dev/null
. "$settings"
set +a
for setting in NAME ENVIRONMENT AWS_REGION DOMAIN_NAME GRAFANA_URL RUNBOOKS_URL; do
  [ -n "${!setting:-}" ] || fail "$setting is not set in $settings"
done
[[ "$NAME" =~ ^[a-z][a-z0-9-]{0,19}$ ]] || fail "NAME: small letters, digits and hyphens, at most 20"
if [ -z "${CERTIFICATE_ARN:-}" ] && [ -z "${HOSTED_ZONE_ID:-}" ]; then
  fail "set HOSTED_ZONE_ID, or CERTIFICATE_ARN for a name that Route 53 does not hold"
fi
export AWS_PAGER="" AWS_DEFAULT_REGION="$AWS_REGION"
cluster="$NAME-service"

stack_status() { # NONE where there is none; what else goes wrong is no answer
  local said
  if said="$(aws cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' --output text 2>&1)"; then
    printf '%s\n' "$said"
  elif [[ $said == *"does not exist"* ]]; then
    echo NONE
  else
    fail "$said"
  fi
}

# Outputs of a stack as Name=value, one a line: they have the names of the parameters that take them.
outputs() {
  aws cloudformation describe-stacks --stack-name "$1" --output text \
    --query "Stacks[0].Outputs[].join('=', [OutputKey, OutputValue])" | tr '\t' '\n'
}

output() { outputs "$1" | sed -n "s/^$2=//p"; }

why() { # what CloudFormation and ECS say of the last failure
  aws cloudformation describe-stack-events --stack-name "$1" --max-items 60 --output text --query \
    "StackEvents[?contains(ResourceStatus, 'FAILED')].[Timestamp, LogicalResourceId, ResourceStatusReason]" || true
  if [ "$1" = "$cluster" ]; then troubles || true; fi
}

troubles() { # the last events of both services, and why tasks of theirs ended
  local service tasks
  for service in api worker; do
    say "events of $service"
    aws ecs describe-services --cluster "$cluster" --services "$service" --output text \
      --query 'services[0].events[:8].[createdAt, message]'
    tasks="$(aws ecs list-tasks --cluster "$cluster" --service-name "$service" \
      --desired-status STOPPED --query 'taskArns[:5]' --output text)"
    if [ -n "$tasks" ] && [ "$tasks" != None ]; then
      # shellcheck disable=SC2086 # several names
      aws ecs describe-tasks --cluster "$cluster" --tasks $tasks --output text --query \
        'tasks[].[stoppedReason, containers[].[name, exitCode, reason]]'
    fi
  done
  say "logs: aws logs filter-log-events --log-group-name /$cluster/api --filter-pattern ERROR"
}

stuck() { # its first making failed, and so did its removal: what protects itself has to be let go
  local one
  say "$1 was not made, and could not be taken down again. Let go of what is protected, delete it, run this again:"
  kept() {
    aws cloudformation describe-stack-resources --stack-name "$1" --output text \
      --query "StackResources[?ResourceType=='$2' && ResourceStatus!='DELETE_COMPLETE'].PhysicalResourceId"
  }
  for one in $(kept "$1" AWS::ElasticLoadBalancingV2::LoadBalancer); do
    echo "aws elbv2 modify-load-balancer-attributes --load-balancer-arn $one --attributes Key=deletion_protection.enabled,Value=false"
  done
  for one in $(kept "$1" AWS::RDS::DBInstance); do
    echo "aws rds modify-db-instance --db-instance-identifier $one --no-deletion-protection --apply-immediately"
  done
  echo "aws cloudformation delete-stack --stack-name $1"
  echo "aws cloudformation wait stack-delete-complete --stack-name $1"
  fail "$1 is ROLLBACK_FAILED"
}

stack() { # stack NAME FILE [Name=value…]: made, or brought to what the file says
  local full="$NAME-$1" file="$2" status protection=()
  shift 2
  say "$full"
  status="$(stack_status "$full")"
  case "$status" in
    ROLLBACK_FAILED) stuck "$full" ;;
    ROLLBACK_COMPLETE) # its first making failed: it is empty
      aws cloudformation delete-stack --stack-name "$full"
      aws cloudformation wait stack-delete-complete --stack-name "$full"
      ;;
  esac
  if grep -q '^  DeletionProtection:' "$file"; then
    # What is protected from its first moment cannot be taken back where something after it fails.
    case "$status" in
      NONE | REVIEW_IN_PROGRESS | ROLLBACK_COMPLETE)
        bring "$full" "$file" "$@" DeletionProtection=false
        ;;
    esac
    protection=(DeletionProtection=true)
  fi
  bring "$full" "$file" "$@" ${protection[@]+"${protection[@]}"}
}

bring() { # bring STACK FILE [Name=value…]; PARAMETERS win
  local full="$1" file="$2" given=() bucket=()
  shift 2
  # shellcheck disable=SC2206 # words
  given=("$@" ${PARAMETERS:-})
  if [ "$full" != "$NAME-registry" ]; then
    bucket=(--s3-bucket "$(output "$NAME-registry" TemplatesBucket)" --s3-prefix "$full")
  fi
  if ! aws cloudformation deploy --stack-name "$full" --template-file "$file" "${bucket[@]}" \
    --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
    --tags "Application=$NAME" "Environment=$ENVIRONMENT" \
    --parameter-overrides "Environment=$ENVIRONMENT" "${given[@]}"; then
    why "$full"
    case "$(stack_status "$full")" in
      ROLLBACK_FAILED) stuck "$full" ;;
      ROLLBACK_COMPLETE) fail "$full was not made, and nothing is left of it; mend the cause, run this again" ;;
      UPDATE_ROLLBACK_COMPLETE) fail "$full was not deployed; what was there before is there again" ;;
      *) fail "$full was not deployed: see above, and aws cloudformation describe-stacks --stack-name $full" ;;
    esac
  fi
}

registry() { stack registry "$here/registry.yaml"; }

network() {
  if [ -z "${VPC_ID:-}" ]; then stack network "$here/network.yaml"; fi
}

# The network's part of other stacks' parameters: of the settings, or of the stack that was made.
in_network() {
  if [ -n "${VPC_ID:-}" ]; then
    for setting in VPC_CIDR PUBLIC_SUBNETS PRIVATE_SUBNETS; do
      [ -n "${!setting:-}" ] || fail "$setting is not set in $settings, but VPC_ID is"
    done
    printf '%s\n' "VpcId=$VPC_ID" "VpcCidr=$VPC_CIDR" "PublicSubnets=$PUBLIC_SUBNETS" "PrivateSubnets=$PRIVATE_SUBNETS"
  else
    outputs "$NAME-network"
  fi
}

monitoring() { stack monitoring "$here/monitoring.yaml" "AlertEmail=${ALERT_EMAIL:-}"; }

rules() {
  made="$(mktemp)"
  trap 'rm -f "$made"' EXIT
  "$here/rules.py" >"$made"
  stack rules "$made" "WorkspaceArn=$(output "$NAME-monitoring" WorkspaceArn)" \
    "GrafanaUrl=$GRAFANA_URL" "RunbooksUrl=$RUNBOOKS_URL"
}

data() {
  local given
  given="$(in_network)"$'\n'"$(outputs "$NAME-monitoring")"
  mapfile -t given <<<"$given"
  stack data "$here/data.yaml" "${given[@]}"
}

tag() {
  [ -z "$(git -C "$root" status --porcelain)" ] || fail "commit first: the image is named after the commit"
  git -C "$root" rev-parse --short=12 HEAD
}

in_registry() {
  aws ecr describe-images --repository-name "$NAME-registry" --image-ids "imageTag=$1" \
    --output text --query 'imageDetails[0].imageDigest' >/dev/null 2>&1
}

image() { # built and pushed, unless this commit's is there
  local uri version tag="$1"
  if in_registry "$tag"; then
    say "image $tag is in the registry"
    return
  fi
  uri="$(output "$NAME-registry" RepositoryUri)"
  version="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$root/project/__init__.py")"
  say "image $uri:$tag"
  docker build --platform linux/amd64 --build-arg "REVISION=$tag" --build-arg "VERSION=$version" --tag "$uri:$tag" "$root"
  aws ecr get-login-password | docker login --username AWS --password-stdin "${uri%%/*}"
  docker push "$uri:$tag"
}

service() { # service TAG
  local given part
  given="$(in_network)"
  for part in registry data monitoring; do
    given+=$'\n'"$(outputs "$NAME-$part")"
  done
  mapfile -t given <<<"$given"
  stack service "$here/service.yaml" "${given[@]}" \
    "Image=$(output "$NAME-registry" RepositoryUri):$1" "Jobs=${JOBS:-on}" "Auth=${AUTH:-keys}" \
    "AdminEmail=${ADMIN_EMAIL:-admin@example.org}" \
    "DomainName=$DOMAIN_NAME" "HostedZoneId=${HOSTED_ZONE_ID:-}" "CertificateArn=${CERTIFICATE_ARN:-}"
  settled
  say "$1 is deployed: $(output "$cluster" Url) (balancer $(output "$cluster" BalancerName))"
}

settled() {
  if ! aws ecs wait services-stable --cluster "$cluster" --services api worker; then
    troubles
    fail "the services did not settle within ten minutes"
  fi
}

running() { # the tag that the service has now
  aws cloudformation describe-stacks --stack-name "$cluster" --output text \
    --query "Stacks[0].Parameters[?ParameterKey=='Image'].ParameterValue" | sed 's/.*://'
}

restart() {
  local service
  for service in api worker; do
    aws ecs update-service --cluster "$cluster" --service "$service" --force-new-deployment \
      --query 'service.deployments[0].id' --output text
  done
  settled
}

run() { # one task with the workers' settings; prints what it logged, ends as it ended
  local given overrides task id code group
  given="$(in_network)"$'\n'"$(outputs "$NAME-data")"$'\n'"$(outputs "$cluster")"
  value() { sed -n "s/^$1=//p" <<<"$given"; }
  overrides="$(python3 -c 'import json, sys; print(json.dumps({"containerOverrides": [{"name": "worker", "command": sys.argv[1:]}]}))' "$@")"
  task="$(aws ecs run-task --cluster "$cluster" --launch-type FARGATE \
    --task-definition "$(value WorkerTaskDefinition)" --overrides "$overrides" --network-configuration \
    "awsvpcConfiguration={subnets=[$(value PrivateSubnets)],securityGroups=[$(value WorkerSecurityGroup),$(value DataClientGroup)],assignPublicIp=DISABLED}" \
    --query 'tasks[0].taskArn' --output text)"
  [ "$task" != None ] || fail "ECS started no task"
  id="${task##*/}"
  say "task $id"
  aws ecs wait tasks-stopped --cluster "$cluster" --tasks "$task"
  group="/$cluster/worker"
  aws logs get-log-events --log-group-name "$group" --log-stream-name "worker/worker/$id" \
    --start-from-head --query 'events[].[message]' --output text || true
  code="$(aws ecs describe-tasks --cluster "$cluster" --tasks "$task" --output text \
    --query "tasks[0].containers[?name=='worker'].exitCode | [0]")"
  [ "$code" = 0 ] || fail "it ended with $code"
}

status() {
  aws ecs describe-services --cluster "$cluster" --services api worker --output text \
    --query 'services[].[serviceName, desiredCount, runningCount, deployments[0].rolloutState]'
  say "image $(running)"
  troubles
}

everything() {
  local tag
  tag="$(tag)"
  registry
  image "$tag"
  network
  monitoring
  rules
  data
  service "$tag"
}

case "${1:-}" in
  "") everything ;;
  release)
    tag="$(tag)"
    image "$tag"
    service "$tag"
    ;;
  rollback)
    [ -n "${2:-}" ] || fail "rollback to which tag? aws ecr describe-images --repository-name $NAME-registry"
    in_registry "$2" || fail "no image $2 in the registry"
    service "$2"
    ;;
  restart) restart ;;
  run)
    shift
    [ $# -gt 0 ] || fail "run what?"
    run "$@"
    ;;
  stack)
    case "${2:-}" in
      network | monitoring | rules | data) "$2" ;;
      service) service "$(running)" ;;
      *) fail "which stack? network, monitoring, rules, data or service" ;;
    esac
    ;;
  status) status ;;
  *) fail "there is no $1; the first lines of this file tell what there is" ;;
esac
